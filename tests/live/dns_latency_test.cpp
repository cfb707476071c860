// SPDX-License-Identifier: MIT
// How far is the latency that is told from what the client measures itself, and is each question
// its asker's, behind a resolver on the same host too?
#include <algorithm>
#include <chrono>
#include <map>

#include "support/asking.h"
#include "support/catch.h"

using namespace culprit;
using namespace culprit::test;

namespace {

// fewer than the records of one CPU that are told at once
constexpr std::size_t kQuestions = 200, kRelayed = 100;
constexpr const char* kStub = "127.0.0.53";

/// A question for the address of "qNNN.example".
std::vector<unsigned char> question(std::size_t number) {
    const std::string name = fmt::format("\x04q{:03}\x07{}", number, "example");
    std::vector<unsigned char> message = dns_header(number);
    message.insert(message.end(), name.begin(), name.end());
    message.insert(message.end(), {0, 0, 1, 0, 1});
    return message;
}

std::string name_of(std::size_t number) {
    return fmt::format("q{:03}.example.", number);
}

/// Asks and waits for the answer; how long that took.
std::int64_t ask(int fd, const std::vector<unsigned char>& message) {
    unsigned char into[512];
    const auto began = std::chrono::steady_clock::now();
    must(::send(fd, message.data(), message.size(), 0) > 0, "ask");
    must(::recv(fd, into, sizeof(into), 0) > 0, "read the answer");
    return (std::chrono::steady_clock::now() - began).count();
}

/// Asks the server at `upstream` whatever it is asked, over a socket of its own each time.
class Stub {
public:
    Stub(const Side& side, const std::string& upstream)
        : x_child(side.path(), "dns-stub", [upstream](const Tell& tell) {
              const UniqueFd fd = bind_udp(kStub, 53);
              tell(0);
              for (;;)
                  forward(fd.get(), upstream);
              return 0;
          }) {
        x_child.number();
    }
    pid_t pid() const { return x_child.pid(); }

private:
    static void forward(int fd, const std::string& upstream) {
        unsigned char message[512];
        sockaddr_storage from{};
        socklen_t size = sizeof(from);
        const ssize_t got =
            ::recvfrom(fd, message, sizeof(message), 0, reinterpret_cast<sockaddr*>(&from), &size);
        if (got <= 0)
            return;
        const UniqueFd up = connected_to(upstream);
        ask(up.get(), {message, message + got});
        message[2] = static_cast<unsigned char>(message[2] | 0x80);
        ::sendto(fd, message, static_cast<std::size_t>(got), 0, reinterpret_cast<sockaddr*>(&from),
                 size);
    }

    Child x_child;
};

} // namespace

TEST_CASE("the latency told is what the client measures", "[dns_latency_test]") {
    constexpr std::int64_t kBoundNs = 50'000;
    const Asking ns;
    std::map<std::string, std::int64_t> measured;
    ns.a.in([&] {
        const UniqueFd fd = connected_to(ns.b.v4);
        for (std::size_t i = 0; i < kQuestions; i++)
            measured[name_of(i)] = ask(fd.get(), question(i));
    });
    std::vector<std::int64_t> apart;
    for (const Json& event : ns.culprit.await(is_about_dns, kQuestions))
        apart.push_back(measured.at(event["name"].get<std::string>()) -
                        event["latency_ns"].get<std::int64_t>());
    std::ranges::sort(apart);
    WARN(fmt::format("client's figure - ours: least {}, median {}, 90 % {}, most {} ns", apart[0],
                     apart[kQuestions / 2], apart[kQuestions * 9 / 10], apart.back()));
    CHECK(apart.size() == kQuestions);
    CHECK(apart.front() >= 0); // part of what the client measures
    CHECK(apart[kQuestions / 2] <= kBoundNs);
}

TEST_CASE("a question is its asker's, and the one it causes its resolver's", "[dns_latency_test]") {
    const Asking ns;
    const Stub stub(ns.a, ns.b.v4);
    Child client(ns.a.path(), "dns-client", [](const Tell&) {
        for (std::size_t i = 0; i < kRelayed; i++)
            ask(connected_to(kStub).get(), question(i));
        return 0;
    });
    REQUIRE(client.wait() == 0);
    std::map<std::string, std::size_t> asked;
    for (const Json& event : ns.culprit.await(is_about_dns, 2 * kRelayed)) {
        INFO(event.dump());
        const bool inner = event["remote"] == end_text(kStub, 53);
        CHECK((inner || event["remote"] == end_text(ns.b.v4, 53)));
        CHECK(event["pid"] == (inner ? client.pid() : stub.pid()));
        CHECK(event["comm"] == (inner ? "dns-client" : "dns-stub"));
        CHECK(event["outcome"] == "answered");
        asked[event["name"].get<std::string>()]++;
    }
    CHECK(asked.size() == kRelayed);
    CHECK(std::ranges::all_of(asked, [](const auto& one) { return one.second == 2; }));
}
