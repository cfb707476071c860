// SPDX-License-Identifier: MIT
// A name server that misbehaves when the name says so, and clients of the C library's resolver.
#pragma once

#include <arpa/nameser.h>
#include <netinet/in.h>
#include <resolv.h>

#include <string_view>
#include <thread>

#include "support/datagrams.h"

namespace culprit::test {

/// Answers over UDP what the first label of the name asks for: "silent" nothing, "slow" after
/// 300 ms, "servfail", "nx", "refused", "big" truncated; anything else with an address, but what
/// ends in "absent" does not exist. TCP gets whole answers.
class NameServer {
public:
    static constexpr ssize_t kShortest = 17; // what is shorter has no answer

    explicit NameServer(const Side& side, const std::string& host,
                        const std::string& comm = "dns-server", std::uint16_t port = 53)
        : x_child(side.path(), comm, [host, port](const Tell& tell) {
              const UniqueFd fd = bind_udp(host, port), listener = listen_at(host, port);
              std::thread(serve_tcp, listener.get()).detach();
              tell(0);
              serve(fd.get());
              return 0;
          }) {
        x_child.number();
    }

    pid_t pid() const { return x_child.pid(); }

private:
    using Message = std::vector<unsigned char>;

    static UniqueFd listen_at(const std::string& host, std::uint16_t port) {
        UniqueFd fd = make_socket(host, SOCK_STREAM, kDeadlineSeconds);
        const Address at = address_of(host, port);
        must(::bind(fd.get(), at.get(), at.size) == 0 && ::listen(fd.get(), 64) == 0, "listen");
        return fd;
    }

    static bool asks_for(const Message& question, std::string_view label) {
        return question.size() > 13 + label.size() && question[12] == label.size() &&
               std::equal(label.begin(), label.end(), question.begin() + 13);
    }

    static bool is_absent(const Message& question, std::size_t end) {
        static constexpr std::string_view kLast = "\x06"
                                                  "absent";
        return end > 12 + kLast.size() &&
               std::equal(kLast.begin(), kLast.end(),
                          question.begin() + static_cast<std::ptrdiff_t>(end - kLast.size()));
    }

    static Message answer(const Message& question, bool by_tcp = false) {
        static constexpr unsigned char kAddress[] = {0xc0, 12, 0, 1, 0,   1, 0, 0,
                                                     0,    9,  0, 4, 192, 0, 2, 1};
        std::size_t end = 12;
        while (end < question.size() && question[end])
            end += question[end] + 1UL;
        Message out(question.begin(), question.begin() + static_cast<std::ptrdiff_t>(
                                                             std::min(end + 5, question.size())));
        const int rcode = asks_for(question, "servfail")  ? 2
                          : asks_for(question, "nx")      ? 3
                          : is_absent(question, end)      ? 3
                          : asks_for(question, "refused") ? 5
                                                          : 0;
        const bool truncated = asks_for(question, "big") && !by_tcp;
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

    /// One question per connection.
    static void serve_tcp(int listener) {
        for (;;) {
            const UniqueFd fd(::accept(listener, nullptr, nullptr));
            Message question(512);
            const ssize_t got = ::recv(fd.get(), question.data(), question.size(), 0);
            if (got < 19)
                continue;
            question.resize(static_cast<std::size_t>(got));
            question.erase(question.begin(), question.begin() + 2); // its length
            Message out = answer(question, true);
            const auto size = static_cast<std::uint16_t>(out.size());
            out.insert(out.begin(), {static_cast<unsigned char>(size >> 8),
                                     static_cast<unsigned char>(size & 255)});
            ::send(fd.get(), out.data(), out.size(), MSG_NOSIGNAL);
        }
    }

    Child x_child;
};

/// A question on the wire, as a program without the C library's resolver makes it.
inline std::string question_for(const std::string& name, int type = ns_t_a, int kind = ns_c_in) {
    static std::uint16_t id = static_cast<std::uint16_t>(::getpid());
    id++;
    std::string out = {static_cast<char>(id >> 8), static_cast<char>(id & 255)};
    out += std::string("\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00", 10);
    for (std::size_t at = 0; at < name.size();) {
        const std::size_t dot = std::min(name.find('.', at), name.size());
        out += static_cast<char>(dot - at) + name.substr(at, dot - at);
        at = dot + 1;
    }
    return out + std::string(2, '\0') + static_cast<char>(type) + '\0' + static_cast<char>(kind);
}

/// Asks with a socket of its own, as Go's resolver does; the answer, empty when none came in time.
inline std::string ask_once(const std::string& host, std::uint16_t port,
                            const std::string& question, double seconds = 1) {
    const UniqueFd fd = make_socket(host, SOCK_DGRAM, seconds);
    const Address to = address_of(host, port);
    must(::connect(fd.get(), to.get(), to.size) == 0, "connect");
    ::send(fd.get(), question.data(), question.size(), 0);
    char into[1500];
    const ssize_t got = ::recv(fd.get(), into, sizeof(into), 0);
    return {into, got > 0 ? static_cast<std::size_t>(got) : 0};
}

/// The C library's resolver, which asks one IPv4 server; a try lasts that many seconds. Options:
/// RES_* of resolv.h.
class Resolver {
public:
    explicit Resolver(const std::string& server, int seconds = 1, int tries = 1,
                      unsigned long options = 0) {
        must(::res_ninit(&x_state) == 0, "make a resolver");
        x_state.options |= options;
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
