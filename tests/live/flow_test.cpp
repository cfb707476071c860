// SPDX-License-Identifier: MIT
// Do looks at connections tell who is slow: a process that thinks, one that does not read, or
// nobody?
#include "abi/flow.h"
#include "support/catch.h"
#include "support/run.h"
#include "support/saved.h"
#include "support/traffic.h"

using namespace culprit;
using namespace culprit::test;

namespace {

constexpr std::uint64_t kMs = 1'000'000;
constexpr const char* kHost = "127.0.0.1"; // both ends are seen in one namespace

/// A child that listens, says its port and serves its first client.
class Listener {
public:
    Listener(const Side& side, const std::string& comm, const std::function<void(int)>& serve)
        : x_child(
              side.path(), comm,
              [serve](const Tell& tell) {
                  const UniqueFd listener = make_socket(kHost, SOCK_STREAM, kDeadlineSeconds);
                  const Address at = address_of(kHost, 0);
                  must(::bind(listener.get(), at.get(), at.size) == 0 &&
                           ::listen(listener.get(), 16) == 0,
                       "listen");
                  tell(local_port(listener.get()));
                  serve(UniqueFd(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC)).get());
                  for (;;)
                      ::pause();
                  return 0;
              }),
          x_port(static_cast<std::uint16_t>(x_child.number())) {}
    pid_t pid() const { return x_child.pid(); }
    std::uint16_t port() const { return x_port; }

private:
    Child x_child;
    std::uint16_t x_port;
};

/// A child that connects, says so, does that, and stays.
Child client(const Side& side, const std::string& comm, std::uint16_t port,
             const std::function<void(int)>& work) {
    return Child(side.path(), comm, [=](const Tell& tell) {
        const UniqueFd fd = connect_to(kHost, port);
        tell(0);
        work(fd.get());
        tell(0);
        for (;;)
            ::pause();
        return 0;
    });
}

/// Answers after that time, for as long as there are questions.
std::function<void(int)> thinks(unsigned ms) {
    return [ms](int fd) {
        for (char question[100]; ::recv(fd, question, sizeof(question), 0) > 0;) {
            ::usleep(ms * 1000);
            send_bytes(fd, 100);
        }
    };
}

void ask(int fd, double seconds) {
    for (const Deadline end(seconds); !end.passed();) {
        send_bytes(fd, 50);
        receive_bytes(fd, 100);
    }
}

void never_reads(int) {
    for (;;)
        ::pause();
}

void reads_all(int fd) {
    for (std::vector<char> into(65536); ::recv(fd, into.data(), into.size(), 0) > 0;) {
    }
}

/// Writes until the other side takes no more, and on.
void fill(int fd) {
    const std::vector<char> zeros(65536);
    while (::send(fd, zeros.data(), zeros.size(), MSG_DONTWAIT | MSG_NOSIGNAL) > 0) {
    }
}

/// culprit, while it watches one side.
class Watched {
public:
    explicit Watched(const Side& side)
        : x_run(diagnose({"--for", "30s", "--netns", side.netns(), "--save", x_save.path()})) {
        x_run.wait_until_watching();
    }
    void stop() { x_run.stop(); }
    /// All there is of one process; nothing when it was idle.
    flow_total of(pid_t pid) const {
        const Window window = x_save.total();
        flow_total sum{};
        for (const auto& row : window.rows<flow_total>(ABI_FLOW_TOTAL))
            if (row.record.owner.tgid == static_cast<std::uint32_t>(pid)) {
                CHECK(sum.looks == 0); // one record
                sum = row.record;
            }
        return sum;
    }

    /// The only connection of that process that closed.
    close_event closed(pid_t pid) const {
        const Window window = x_save.total();
        for (const auto& row : window.rows<close_event>(ABI_CLOSE))
            if (row.record.owner.tgid == static_cast<std::uint32_t>(pid))
                return row.record;
        FAIL("no connection of it closed");
        return {};
    }

private:
    SaveFile x_save;
    Culprit x_run;
};

void local(const Side& side) {
    side.shell("ip link set lo up");
}

/// Looks may be as far apart as this on a busy machine.
constexpr std::uint64_t kLooseNs = 700 * kMs;

void check_answers(const flow_total& total, std::uint8_t role) {
    CHECK(int{total.role} == role);
    REQUIRE(total.answers > 0);
    CHECK(total.answer_ns / total.answers < 320 * kMs);
    CHECK(total.answer_max_ns >= 290 * kMs);
    CHECK(total.answer_max_ns < 340 * kMs + kLooseNs);
    CHECK(total.answer_slots[19] > 0); // 262 to 524 ms
    CHECK(total.waiting_max_ns < 340 * kMs + kLooseNs);
    CHECK(total.zero_window == 0);
    CHECK(total.closed_window == 0);
}

} // namespace

TEST_CASE("a server that thinks: its answers are timed at both ends", "[flow_test]") {
    const TwoNs ns(TwoNs::Wire::kNone);
    local(ns.a);
    Watched watched(ns.a);
    const Listener server(ns.a, "ct-thinker", thinks(300));
    const Child asker = client(ns.a, "ct-asker", server.port(), [](int fd) { ask(fd, 4); });
    asker.number();
    asker.number();
    watched.stop();
    check_answers(watched.of(server.pid()), ABI_ROLE_SERVER);
    check_answers(watched.of(asker.pid()), ABI_ROLE_CLIENT);
}

TEST_CASE("connections older than culprit are seen as well", "[flow_test]") {
    const TwoNs ns(TwoNs::Wire::kNone);
    local(ns.a);
    const Listener server(ns.a, "ct-thinker", thinks(300));
    const Child asker = client(ns.a, "ct-asker", server.port(), [](int fd) { ask(fd, 30); });
    asker.number();
    Watched watched(ns.a);
    ::sleep(4);
    watched.stop();
    check_answers(watched.of(server.pid()), ABI_ROLE_SERVER);
    check_answers(watched.of(asker.pid()), ABI_ROLE_CLIENT);
}

TEST_CASE("a process that does not read: both ends of the closed window", "[flow_test]") {
    const TwoNs ns(TwoNs::Wire::kNone);
    local(ns.a);
    Watched watched(ns.a);
    const Listener reader(ns.a, "ct-stopped", never_reads);
    const Child writer = client(ns.a, "ct-writer", reader.port(), fill);
    writer.number();
    writer.number();
    ::sleep(3);
    watched.stop();
    const flow_total sends = watched.of(writer.pid());
    CHECK(int{sends.role} == ABI_ROLE_CLIENT);
    CHECK(sends.zero_window > 1);
    CHECK(sends.zero_window_ns > 1000 * kMs);
    CHECK(sends.rwnd_limited_ns > 1500 * kMs);
    CHECK(sends.closed_window == 0);
    CHECK(sends.not_sent > 0);
    const flow_total reads = watched.of(reader.pid());
    CHECK(int{reads.role} == ABI_ROLE_SERVER);
    CHECK(reads.closed_window > 1);
    CHECK(reads.closed_window_ns > 1000 * kMs);
    CHECK(reads.unread_max > 10000);
    CHECK(reads.zero_window == 0);
}

TEST_CASE("a bulk stream: every byte, and nobody's window is closed", "[flow_test]") {
    constexpr std::uint64_t kBytes = 500'000'000;
    const TwoNs ns(TwoNs::Wire::kNone);
    local(ns.a);
    Watched watched(ns.a);
    const Listener sink(ns.a, "ct-sink", reads_all);
    const Child sender =
        client(ns.a, "ct-sender", sink.port(), [](int fd) { send_bytes(fd, kBytes); });
    sender.number();
    sender.number();
    ::sleep(2);
    watched.stop();
    const flow_total sends = watched.of(sender.pid());
    CHECK(sends.bytes_sent == kBytes);
    CHECK(sends.bytes_received == 0);
    CHECK(sends.busy_ns + sends.rwnd_limited_ns + sends.sndbuf_limited_ns > 50 * kMs);
    CHECK(sends.zero_window_ns < kLooseNs);
    CHECK(sends.answers == 0);
    CHECK(watched.of(sink.pid()).bytes_received == kBytes);
    CHECK(watched.of(sink.pid()).waiting == 0);
}

TEST_CASE("idle connections are not in any record, uploads never wait", "[flow_test]") {
    const TwoNs ns(TwoNs::Wire::kNone);
    local(ns.a);
    const Listener nobody(ns.a, "ct-idle-server", never_reads);
    const Child idle = client(ns.a, "ct-idle", nobody.port(), [](int) {});
    const Listener sink(ns.a, "ct-sink", reads_all);
    const Child uploader = client(ns.a, "ct-uploader", sink.port(), [](int fd) {
        for (const Deadline end(30); !end.passed(); ::usleep(370'000))
            send_bytes(fd, 2000);
    });
    idle.number();
    uploader.number();
    ::usleep(500'000);
    Watched watched(ns.a);
    ::sleep(3);
    watched.stop();
    CHECK(watched.of(idle.pid()).flows == 0);
    CHECK(watched.of(nobody.pid()).flows == 0);
    for (const pid_t pid : {uploader.pid(), sink.pid()}) {
        const flow_total total = watched.of(pid);
        CHECK(total.flows == 1);
        CHECK(total.bytes_sent + total.bytes_received >= 4000);
        CHECK(total.answers == 0);
        CHECK(total.waiting == 0);
    }
}

TEST_CASE("a connection that is gone before the next look has its only answer's time",
          "[flow_test]") {
    const TwoNs ns(TwoNs::Wire::kNone);
    local(ns.a);
    Watched watched(ns.a);
    const Listener server(ns.a, "ct-thinker", thinks(60));
    const Child asker = client(ns.a, "ct-asker", server.port(), [](int fd) {
        send_bytes(fd, 50);
        receive_bytes(fd, 100);
        ::shutdown(fd, SHUT_RDWR);
    });
    asker.number();
    asker.number();
    ::usleep(300'000);
    watched.stop();
    for (const pid_t pid : {server.pid(), asker.pid()}) {
        const close_event closed = watched.closed(pid);
        CHECK(closed.answers == 1);
        CHECK(closed.answer_ns >= 50 * kMs);
        CHECK(closed.answer_ns < 50 * kMs + kLooseNs);
    }
}
