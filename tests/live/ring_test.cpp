// SPDX-License-Identifier: MIT
// Is the process behind a TUN device named when it does not take what the device sends?
#include "support/catch.h"
#include "support/finding.h"
#include "support/run.h"
#include "support/traffic.h"
#include "support/tun_wire.h"

using namespace culprit;
using namespace culprit::test;

namespace {

constexpr const char* kBehind = "198.51.100.2";

/// Serves a TUN device; how it reads decides the test.
class Tunnel {
public:
    Tunnel(const Side& side, bool reads)
        : x_daemon(side.path(), "ct-tunneld", [=](const Tell& tell) {
              const UniqueFd tun = open_tun("ct-tun");
              tell(0);
              std::vector<char> packet(65536);
              while (reads && ::read(tun.get(), packet.data(), packet.size()) > 0) {
              }
              for (;;)
                  ::pause();
              return 0;
          }) {
        x_daemon.number();
        side.shell(std::string("ip link set ct-tun up && ip addr add 198.51.100.1 peer ") +
                   kBehind + " dev ct-tun");
    }
    pid_t pid() const { return x_daemon.pid(); }

private:
    Child x_daemon;
};

Json tell(const Side& side, int packets, int pause) {
    Culprit culprit = diagnose({"--for", "5s"});
    culprit.wait_until_watching();
    Child client(side.path(), "ct-client", [&](const Tell&) {
        const UniqueFd fd = make_socket(kBehind, SOCK_DGRAM, kDeadlineSeconds);
        const Address to = address_of(kBehind, 4444);
        for (int i = 0; i < packets; i++) {
            ::sendto(fd.get(), "x", 1, 0, to.get(), to.size);
            if (i % 50 == 0)
                pause_ms(pause);
        }
        return 0;
    });
    REQUIRE(client.wait() == 0);
    culprit.wait();
    return Json::parse(culprit.out());
}

} // namespace

TEST_CASE("a process that does not read its TUN device is to blame for what is lost there",
          "[ring_test]") {
    need_root();
    if (!LossyWire::possible())
        skip("there is no /dev/net/tun");
    const bool stopped = GENERATE(false, true);
    const Side side("side-a");
    const Tunnel tunnel(side, stopped);
    if (stopped)
        ::kill(tunnel.pid(), SIGSTOP);
    const Json verdict = tell(side, 6000, 10);
    INFO(verdict["findings"].dump(1));
    const auto finding = find_finding(verdict, "tx-ring-full", about(side.inum()));
    REQUIRE(finding);
    CHECK((*finding)["severity"] != "info");
    CHECK((*finding)["where"]["device"] == "ct-tun");
    CHECK(blames(tunnel.pid())(*finding));
    const std::string title = (*finding)["title"];
    CHECK((title.find("is stopped") != std::string::npos) == stopped);
    CHECK_FALSE(find_finding(verdict, "local-drop", about(side.inum())));
}

TEST_CASE("a process that reads its TUN device is no finding", "[ring_test]") {
    need_root();
    if (!LossyWire::possible())
        skip("there is no /dev/net/tun");
    const Side side("side-a");
    const Tunnel tunnel(side, true);
    const Json verdict = tell(side, 3000, 10);
    INFO(verdict["findings"].dump(1));
    for (const Json& finding : verdict["findings"])
        CHECK((finding["where"]["netns"] != side.inum() || finding["severity"] == "info"));
}
