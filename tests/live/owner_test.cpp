// SPDX-License-Identifier: MIT
// Is the process that really uses a socket named, however the program is built, and never the one
// that softirq happened to interrupt?
#include <linux/sched.h>
#include <sys/syscall.h>

#include <map>
#include <set>

#include "support/catch.h"
#include "support/models.h"
#include "support/run.h"

using namespace culprit;
using namespace culprit::test;

namespace {

/// Busy with packets of its own, so that softirq runs on top of it.
class Innocent {
public:
    explicit Innocent(const WiredNs& ns) {
        for (const Side* side : {&ns.a, &ns.b})
            x_children.push_back(std::make_unique<Child>(
                side->path(), "ct-innocent", [to = side == &ns.a ? ns.b.v4 : ns.a.v4](const Tell&) {
                    for (;;)
                        send_udp(to, 9, 2000, 64);
                    return 0;
                }));
    }
    bool is(const Json& event) const {
        return event["comm"] == "ct-innocent" ||
               std::ranges::any_of(x_children,
                                   [&](const auto& child) { return event["pid"] == child->pid(); });
    }

private:
    std::vector<std::unique_ptr<Child>> x_children;
};

/// A process with a number that an ended one had.
class ReusedPid {
public:
    explicit ReusedPid(pid_t pid) : x_pid(pid) {
        clone_args args{};
        args.exit_signal = SIGCHLD;
        args.set_tid = reinterpret_cast<std::uint64_t>(&x_pid);
        args.set_tid_size = 1;
        const long made = ::syscall(SYS_clone3, &args, sizeof(args));
        if (made < 0 && (errno == EPERM || errno == ENOSYS || errno == EINVAL))
            skip("a process number cannot be chosen here (clone3 with set_tid)");
        must(made >= 0, "make a process of a chosen number");
        if (made == 0) {
            ::prctl(PR_SET_NAME, "ct-newcomer");
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            for (;;)
                ::pause();
        }
    }
    ReusedPid(const ReusedPid&) = delete;
    ReusedPid& operator=(const ReusedPid&) = delete;
    ~ReusedPid() {
        ::kill(x_pid, SIGKILL);
        ::waitpid(x_pid, nullptr, 0);
    }

private:
    pid_t x_pid;
};

struct Score {
    int right = 0, unknown = 0, wrong = 0;
};

/// Asks that often, and holds the server's close records against the answers.
Score ask_many(const WiredNs& ns, const models::Named& named, int count) {
    const models::ModelServer server(ns.b, ns.b.v4, named.model);
    Culprit culprit =
        watch({"close", "--netns", ns.b.netns(), "--port", std::to_string(server.port())});
    culprit.wait_until_watching();
    if (named.model == models::reuseport)
        ::usleep(100'000); // its workers listen by now
    std::map<std::string, pid_t> answered;
    ns.a.in([&] {
        for (int i = 0; i < count; i++) {
            const UniqueFd fd = connect_to(ns.b.v4, server.port());
            const std::string own = end_text(ns.a.v4, local_port(fd.get()));
            answered[own] = models::ask(fd.get());
        }
    });
    const auto closed = culprit.await(is("close"), static_cast<std::size_t>(count));
    Score score;
    for (const Json& event : closed) {
        const pid_t expected = answered[event["remote"]];
        INFO(named.name << ": " << event.dump() << " was answered by " << expected);
        if (event["pid"] == expected)
            score.right++;
        else if (event["pid"].is_null())
            score.unknown++;
        else
            score.wrong++;
        CHECK((event["pid"].is_null() || event["pid"] == expected));
    }
    return score;
}

} // namespace

TEST_CASE("the process that serves a connection is named in every server model", "[owner_test]") {
    constexpr int kCount = 60;
    const WiredNs ns;
    const Innocent innocent(ns);
    int right = 0, all = 0;
    for (const models::Named& named : models::kAll) {
        const Score score = ask_many(ns, named, kCount);
        INFO(named.name << ": " << score.right << " right, " << score.unknown << " unknown, "
                        << score.wrong << " wrong");
        CHECK(score.wrong == 0);
        CHECK(score.right + score.unknown == kCount);
        CHECK(score.right >= kCount - 1);
        right += score.right;
        all += kCount;
    }
    CHECK(right * 100 >= all * 99);
}

TEST_CASE("the thread that reads a connection is named beside its process", "[owner_test]") {
    const WiredNs ns;
    const models::ModelServer server(ns.b, ns.b.v4, models::threads);
    Culprit culprit = watch({"close", "--netns", ns.b.netns()});
    culprit.wait_until_watching();
    ns.a.in([&] { CHECK(models::ask(connect_to(ns.b.v4, server.port()).get()) == server.pid()); });
    const Json event = culprit.await(is("close")).at(0);
    CHECK(event["pid"] == server.pid());
    CHECK(event["comm"] == "ct-model");
    CHECK(event["thread"] == "ct-thread");
    CHECK(event["tid"] != event["pid"]);
}

TEST_CASE("connections older than culprit have the process that uses them, in every server model",
          "[owner_test]") {
    constexpr int kCount = 10;
    const WiredNs ns;
    const Innocent innocent(ns);
    for (const models::Named& named : models::kAll) {
        if (named.model == models::greeter)
            continue; // it is done with a connection before anybody can look
        const models::ModelServer server(ns.b, ns.b.v4, named.model);
        std::vector<UniqueFd> open;
        if (named.model == models::reuseport)
            ::usleep(100'000);
        const int count = named.model == models::accept_in_child || named.model == models::inetd ||
                                  named.model == models::threads
                              ? kCount
                              : 1; // the others serve one connection at a time
        ns.a.in([&] {
            for (int i = 0; i < count; i++)
                open.push_back(connect_to(ns.b.v4, server.port()));
        });
        Culprit culprit =
            watch({"close", "--netns", ns.b.netns(), "--port", std::to_string(server.port())});
        culprit.wait_until_watching();
        std::map<std::string, pid_t> answered;
        for (UniqueFd& fd : open) {
            const std::string own = end_text(ns.a.v4, local_port(fd.get()));
            answered[own] = models::ask(fd.get());
            fd = UniqueFd();
        }
        for (const Json& event : culprit.await(is("close"), open.size())) {
            INFO(named.name << ": " << event.dump());
            CHECK(event["pid"] == answered[event["remote"]]);
            CHECK_FALSE(innocent.is(event));
        }
    }
}

TEST_CASE("a connection outlives the process that made it, and its heir is named", "[owner_test]") {
    const WiredNs ns;
    const Server server(ns.b, "ct-server", Serve::kEcho, ns.b.v4);
    Culprit culprit = watch({"close", "--netns", ns.a.netns()});
    culprit.wait_until_watching();
    Child parent(ns.a.path(), "ct-parent", [&](const Tell& tell) {
        const UniqueFd fd = connect_to(ns.b.v4, server.port());
        const pid_t own = ::getpid(), heir = ::fork();
        must(heir >= 0, "fork");
        if (heir == 0) {
            ::prctl(PR_SET_NAME, "ct-heir");
            while (::getppid() == own)
                ::usleep(1000);
            send_bytes(fd.get(), 10);
            receive_bytes(fd.get(), 10);
            ::_exit(0);
        }
        tell(static_cast<std::uint64_t>(heir));
        return 0;
    });
    const auto heir = static_cast<pid_t>(parent.number());
    CHECK(parent.wait() == 0);
    const Json event = culprit.await(is("close")).at(0);
    CHECK(event["pid"] == heir);
    CHECK(event["provenance"] == "reader");
}

TEST_CASE("softirq events never name the task they interrupted", "[owner_test]") {
    const WiredNs ns;
    const Server sink(ns.b, "ct-sink", Serve::kSink, ns.b.v4);
    const Server resets(ns.b, "ct-resets", Serve::kReset, ns.b.v4);
    ns.b.nft("input", fmt::format("tcp dport {} numgen inc mod 20 == 7 drop", sink.port()));
    const Innocent innocent(ns);
    Culprit culprit = watch({"retransmit", "reset", "close", "connect", "--addr", ns.b.v4});
    culprit.wait_until_watching();
    Child bulk(ns.a.path(), "ct-bulk", [&](const Tell&) {
        for (int i = 0; i < 20; i++) {
            const UniqueFd fd = connect_to(ns.b.v4, resets.port());
            send_bytes(fd.get(), 10);
            char byte = 0;
            while (::recv(fd.get(), &byte, 1, 0) > 0) {
            }
        }
        bulk_for(ns.b.v4, sink.port(), 2);
        return 0;
    });
    CHECK(bulk.wait() == 0);
    CHECK(culprit.stop() == 0);
    const std::set<pid_t> may = {bulk.pid(), sink.pid(), resets.pid()};
    std::map<std::string, int> kinds, unknown;
    for (const Json& event : culprit.events([](const Json&) { return true; })) {
        INFO(event.dump());
        CHECK_FALSE(innocent.is(event));
        kinds[event["kind"]]++;
        if (event["pid"].is_null())
            unknown[event["kind"]]++;
        else
            CHECK(may.contains(event["pid"].get<pid_t>()));
    }
    for (const auto& [kind, count] : kinds) {
        INFO(kind << ": " << unknown[kind] << " of " << count << " unknown");
        CHECK(100 * unknown[kind] <= count);
    }
    for (const char* kind : {"retransmit", "reset", "close", "connect"})
        CHECK(kinds[kind] > 0);
}

TEST_CASE("a process number that another process has by now is not taken for the owner",
          "[owner_test]") {
    const WiredNs ns;
    const Server server(ns.b, "ct-server", Serve::kReset, ns.b.v4);
    Culprit culprit = watch({"close", "--netns", ns.a.netns()});
    culprit.wait_until_watching();
    const Word word;
    Child first(ns.a.path(), "ct-first", [&](const Tell& tell) {
        const UniqueFd fd = connect_to(ns.b.v4, server.port());
        const pid_t heir = ::fork();
        must(heir >= 0, "fork");
        if (heir == 0) {
            word.await();
            send_bytes(fd.get(), 10); // answered by a reset, so nobody closes or reads here
            ::usleep(500'000);
            ::_exit(0);
        }
        tell(0);
        return 0;
    });
    first.number();
    CHECK(first.wait() == 0);
    ::usleep(50'000); // /proc tells starts apart by clock ticks of 10 ms
    const ReusedPid newcomer(first.pid());
    word.give();
    const Json event = culprit.await(is("close")).at(0);
    INFO(event.dump());
    CHECK(event["ending"] == "reset-received");
    CHECK(event["pid"] == first.pid());
    CHECK(event["comm"] == "ct-first");
    CHECK(event["exited"] == true);
    CHECK(event["exe"].is_null());
}
