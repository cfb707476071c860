// SPDX-License-Identifier: MIT
// Asks a name server of the test's own, and looks for how each question ended.
#include <sys/uio.h>

#include <chrono>

#include "support/asking.h"
#include "support/catch.h"

using namespace culprit;
using namespace culprit::test;

namespace {

auto about_name(const std::string& name) {
    return [=](const Json& e) { return e["kind"] == "dns" && e["name"] == name; };
}

struct Questions : Asking {
    /// What became of one question.
    Json ask(const std::string& name, int type = ns_t_a) const {
        a.in([&] { Resolver(b.v4).ask(name, type); });
        return culprit.await(about_name(name + ".")).at(0);
    }
};

} // namespace

TEST_CASE("an answered question has name, type, server, asker and latency", "[dns_test]") {
    const Questions ns;
    std::uint64_t measured_ns = 0;
    ns.a.in([&] {
        Resolver resolver(ns.b.v4);
        resolver.ask("first.example.org");
        const auto began = std::chrono::steady_clock::now();
        CHECK(resolver.ask("www.example.org") > 0);
        measured_ns =
            static_cast<std::uint64_t>((std::chrono::steady_clock::now() - began).count());
    });
    const Json event = ns.culprit.await(about_name("www.example.org.")).at(0);
    INFO(event.dump());
    CHECK(event["outcome"] == "answered");
    CHECK(event["type"] == "A");
    CHECK(event["rcode"] == "NOERROR");
    CHECK(event["answers"] == 1);
    CHECK(event["remote"] == end_text(ns.b.v4, 53));
    CHECK(event["netns"] == ns.a.inum());
    CHECK(event["pid"] == ::getpid());
    CHECK(event["latency_ns"] > 0);
    CHECK(event["latency_ns"] <= measured_ns);
}

TEST_CASE("the server's codes and its delay are told", "[dns_test]") {
    const Questions ns;
    CHECK(ns.ask("servfail.example")["rcode"] == "SERVFAIL");
    CHECK(ns.ask("nx.example")["rcode"] == "NXDOMAIN");
    CHECK(ns.ask("refused.example")["rcode"] == "REFUSED");
    const Json slow = ns.ask("slow.example", ns_t_aaaa);
    CHECK(slow["type"] == "AAAA");
    CHECK(slow["latency_ns"] > 300'000'000);
    CHECK(slow["latency_ns"] < 400'000'000);
}

TEST_CASE("a question without an answer is told, and its repeat", "[dns_test]") {
    const Questions ns;
    ns.a.in([&] { Resolver(ns.b.v4, 1, 2).ask("silent.example"); });
    const Json event = ns.culprit.await(about_name("silent.example.")).at(0);
    INFO(event.dump());
    CHECK(event["outcome"] == "no-answer");
    CHECK(event["retries"] == 1);
    CHECK(event["rcode"] == nullptr);
    CHECK(event["latency_ns"] >= 3'000'000'000);
    CHECK(event["waited_ns"] > event["latency_ns"]);
}

TEST_CASE("a closed port is an error, not silence", "[dns_test]") {
    const Questions ns;
    ns.b.shell("ip link set lo up; ip addr add 10.77.0.9/32 dev lo");
    ns.a.shell("ip route add 10.77.0.9 via " + ns.b.v4);
    ns.a.in([] { Resolver("10.77.0.9").ask("closed.example"); });
    const Json event = ns.culprit.await(about_name("closed.example.")).at(0);
    CHECK(event["outcome"] == "failed");
    CHECK(event["error"] == "ECONNREFUSED");
}

TEST_CASE("every call that reads an answer is understood", "[dns_test]") {
    const Questions ns;
    ns.a.in([&] {
        const auto ask = [&](const std::string& label, bool connected, auto&& read) {
            std::string message("\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00", 12);
            message +=
                static_cast<char>(label.size()) + label + std::string("\x00\x00\x01\x00\x01", 5);
            const UniqueFd fd = make_socket(ns.b.v4, SOCK_DGRAM, 5);
            const Address to = address_of(ns.b.v4, 53);
            if (connected)
                must(::connect(fd.get(), to.get(), to.size) == 0, "connect");
            must(::sendto(fd.get(), message.data(), message.size(), 0,
                          connected ? nullptr : to.get(), connected ? 0 : to.size) > 0,
                 "send");
            char into[512];
            iovec vector{into, sizeof(into)};
            mmsghdr batch[2] = {};
            batch[0].msg_hdr.msg_iov = &vector;
            batch[0].msg_hdr.msg_iovlen = 1;
            must(read(fd.get(), batch) > 0, "read");
        };
        ask("read", true, [](int fd, mmsghdr* b) {
            return ::read(fd, b->msg_hdr.msg_iov->iov_base, b->msg_hdr.msg_iov->iov_len);
        });
        ask("readv", true, [](int fd, mmsghdr* b) { return ::readv(fd, b->msg_hdr.msg_iov, 1); });
        ask("recvfrom", false, [](int fd, mmsghdr* b) {
            return ::recv(fd, b->msg_hdr.msg_iov->iov_base, b->msg_hdr.msg_iov->iov_len, 0);
        });
        ask("recvmsg", false, [](int fd, mmsghdr* b) { return ::recvmsg(fd, &b->msg_hdr, 0); });
        ask("recvmmsg", false, [](int fd, mmsghdr* b) { return ::recvmmsg(fd, b, 1, 0, nullptr); });
    });
    for (const char* name : {"read.", "readv.", "recvfrom.", "recvmsg.", "recvmmsg."})
        CHECK(ns.culprit.await(about_name(name)).at(0)["outcome"] == "answered");
}
