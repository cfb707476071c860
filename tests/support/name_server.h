// SPDX-License-Identifier: MIT
// A name server that misbehaves when the name says so, and clients of the C library's resolver.
#pragma once

#include <arpa/nameser.h>
#include <netinet/in.h>
#include <resolv.h>

#include <string_view>

#include "support/datagrams.h"

namespace culprit::test {

/// Answers over UDP what the first label of the name asks for: "silent" nothing, "slow" after
/// 300 ms, "servfail", "nx", "refused", "big" truncated; anything else with an address. Tells the
/// number of questions it got so far before each answer.
class NameServer {
public:
    static constexpr ssize_t kShortest = 17; // what is shorter has no answer

    explicit NameServer(const Side& side, const std::string& host,
                        const std::string& comm = "dns-server", std::uint16_t port = 53)
        : x_child(side.path(), comm, [host, port](const Tell& tell) {
              const UniqueFd fd = bind_udp(host, port);
              tell(0);
              serve(fd.get());
              return 0;
          }) {
        x_child.number();
    }

    pid_t pid() const { return x_child.pid(); }

private:
    using Message = std::vector<unsigned char>;

    static bool asks_for(const Message& question, std::string_view label) {
        return question.size() > 13 + label.size() && question[12] == label.size() &&
               std::equal(label.begin(), label.end(), question.begin() + 13);
    }

    static Message answer(const Message& question) {
        static constexpr unsigned char kAddress[] = {0xc0, 12, 0, 1, 0,   1, 0, 0,
                                                     0,    9,  0, 4, 192, 0, 2, 1};
        std::size_t end = 12;
        while (end < question.size() && question[end])
            end += question[end] + 1UL;
        Message out(question.begin(), question.begin() + static_cast<std::ptrdiff_t>(
                                                             std::min(end + 5, question.size())));
        const int rcode = asks_for(question, "servfail")  ? 2
                          : asks_for(question, "nx")      ? 3
                          : asks_for(question, "refused") ? 5
                                                          : 0;
        const bool truncated = asks_for(question, "big");
        out[2] = static_cast<unsigned char>(0x80 | (out[2] & 1) | (truncated ? 2 : 0));
        out[3] = static_cast<unsigned char>(0x80 | rcode);
        std::fill(out.begin() + 6, out.begin() + 12, 0);
        if (rcode || truncated)
            return out;
        out[7] = 1;
        out.insert(out.end(), std::begin(kAddress), std::end(kAddress));
        return out;
    }

    [[noreturn]] static void serve(int fd) {
        for (;;) {
            Message question(512);
            sockaddr_storage from{};
            socklen_t size = sizeof(from);
            const ssize_t got = ::recvfrom(fd, question.data(), question.size(), 0,
                                           reinterpret_cast<sockaddr*>(&from), &size);
            if (got < kShortest)
                continue;
            question.resize(static_cast<std::size_t>(got));
            if (asks_for(question, "silent"))
                continue;
            if (asks_for(question, "slow"))
                ::poll(nullptr, 0, 300);
            const Message out = answer(question);
            ::sendto(fd, out.data(), out.size(), 0, reinterpret_cast<sockaddr*>(&from), size);
        }
    }

    Child x_child;
};

/// The C library's resolver, which asks one IPv4 server; a try lasts that many seconds.
class Resolver {
public:
    explicit Resolver(const std::string& server, int seconds = 1, int tries = 1) {
        must(::res_ninit(&x_state) == 0, "make a resolver");
        x_state.nscount = 1;
        x_state.nsaddr_list[0] = {};
        x_state.nsaddr_list[0].sin_family = AF_INET;
        x_state.nsaddr_list[0].sin_port = htons(53);
        must(::inet_pton(AF_INET, server.c_str(), &x_state.nsaddr_list[0].sin_addr) == 1,
             "read an address");
        x_state.retrans = seconds;
        x_state.retry = tries;
    }
    Resolver(const Resolver&) = delete;
    Resolver& operator=(const Resolver&) = delete;
    ~Resolver() { ::res_nclose(&x_state); }

    /// Length of the answer; -1 when there is none or it says no.
    int ask(const std::string& name, int type = ns_t_a) {
        unsigned char into[512];
        return ::res_nquery(&x_state, name.c_str(), ns_c_in, type, into, sizeof(into));
    }

private:
    struct __res_state x_state {};
};

} // namespace culprit::test
