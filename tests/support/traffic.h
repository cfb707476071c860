// SPDX-License-Identifier: MIT
// TCP and UDP traffic of the tests: clients are functions, a server is a child process. Every wait
// has an end.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <map>
#include <vector>

#include "support/two_ns.h"

namespace culprit::test {

struct Address {
    sockaddr_storage bytes{};
    socklen_t size = 0;
    const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&bytes); }
};

inline Address address_of(const std::string& host, std::uint16_t port) {
    Address out;
    auto* v4 = reinterpret_cast<sockaddr_in*>(&out.bytes);
    auto* v6 = reinterpret_cast<sockaddr_in6*>(&out.bytes);
    const bool is_v6 = host.find(':') != std::string::npos;
    out.bytes.ss_family = is_v6 ? AF_INET6 : AF_INET;
    out.size = is_v6 ? sizeof(*v6) : sizeof(*v4);
    (is_v6 ? v6->sin6_port : v4->sin_port) = htons(port);
    must(inet_pton(out.bytes.ss_family, host.c_str(),
                   is_v6 ? static_cast<void*>(&v6->sin6_addr) : &v4->sin_addr) == 1,
         "read the address " + host);
    return out;
}

inline std::uint16_t local_port(int fd) {
    Address own;
    own.size = sizeof(own.bytes);
    must(::getsockname(fd, reinterpret_cast<sockaddr*>(&own.bytes), &own.size) == 0,
         "ask for the own port");
    return ntohs(own.bytes.ss_family == AF_INET6
                     ? reinterpret_cast<sockaddr_in6*>(&own.bytes)->sin6_port
                     : reinterpret_cast<sockaddr_in*>(&own.bytes)->sin_port);
}

/// A socket of the host's family whose calls end after that time.
inline UniqueFd make_socket(const std::string& host, int type, double seconds) {
    UniqueFd fd(::socket(address_of(host, 0).bytes.ss_family, type | SOCK_CLOEXEC, 0));
    must(bool(fd), "make a socket");
    const auto whole = static_cast<time_t>(seconds);
    const timeval time{whole,
                       static_cast<suseconds_t>((seconds - static_cast<double>(whole)) * 1e6)};
    for (const int option : {SO_SNDTIMEO, SO_RCVTIMEO})
        must(::setsockopt(fd.get(), SOL_SOCKET, option, &time, sizeof(time)) == 0, "set a timeout");
    return fd;
}

/// errno of connect(); EINPROGRESS when there was no answer in that time.
inline int try_connect(const std::string& host, std::uint16_t port, double seconds) {
    const UniqueFd fd = make_socket(host, SOCK_STREAM, seconds);
    const Address to = address_of(host, port);
    return ::connect(fd.get(), to.get(), to.size) == 0 ? 0 : errno;
}

inline UniqueFd connect_to(const std::string& host, std::uint16_t port,
                           double seconds = kDeadlineSeconds) {
    UniqueFd fd = make_socket(host, SOCK_STREAM, seconds);
    const Address to = address_of(host, port);
    must(::connect(fd.get(), to.get(), to.size) == 0, "connect");
    return fd;
}

inline void send_bytes(int fd, std::size_t bytes) {
    static const std::vector<char> zeros(65536);
    while (bytes) {
        const ssize_t sent = ::send(fd, zeros.data(), std::min(bytes, zeros.size()), MSG_NOSIGNAL);
        must(sent > 0, "send");
        bytes -= static_cast<std::size_t>(sent);
    }
}

inline void receive_bytes(int fd, std::size_t bytes) {
    std::vector<char> into(65536);
    while (bytes) {
        const ssize_t got = ::recv(fd, into.data(), std::min(bytes, into.size()), 0);
        must(got > 0, "receive");
        bytes -= static_cast<std::size_t>(got);
    }
}

/// The client says FIN first and waits for the server's.
inline void close_gracefully(UniqueFd fd) {
    char rest[4096];
    must(::shutdown(fd.get(), SHUT_WR) == 0, "shut down");
    while (::recv(fd.get(), rest, sizeof(rest), 0) > 0) {
    }
}

inline void reset_on_close(int fd) {
    const linger abort{1, 0};
    must(::setsockopt(fd, SOL_SOCKET, SO_LINGER, &abort, sizeof(abort)) == 0, "set SO_LINGER");
}

/// Connections one after the other, each with that many bytes there and back.
inline void short_connections(const std::string& host, std::uint16_t port, std::size_t count,
                              std::size_t bytes = 100) {
    for (std::size_t i = 0; i < count; i++) {
        UniqueFd fd = connect_to(host, port);
        send_bytes(fd.get(), bytes);
        receive_bytes(fd.get(), bytes);
        close_gracefully(std::move(fd));
    }
}

/// One connection that sends as fast as it can for that time.
inline void bulk_for(const std::string& host, std::uint16_t port, double seconds) {
    UniqueFd fd = connect_to(host, port);
    for (const Deadline end(seconds); !end.passed();)
        send_bytes(fd.get(), 16384);
    close_gracefully(std::move(fd));
}

enum class Serve {
    kEcho,  // sends back what comes
    kSink,  // reads what comes
    kReset, // answers once, then resets
};

/// UDP packets to a port, as fast as the socket takes them.
inline void send_udp(const std::string& host, std::uint16_t port, std::size_t packets,
                     std::size_t bytes) {
    const UniqueFd fd = make_socket(host, SOCK_DGRAM, kDeadlineSeconds);
    const Address to = address_of(host, port);
    const std::vector<char> zeros(bytes);
    for (std::size_t i = 0; i < packets; i++)
        ::sendto(fd.get(), zeros.data(), bytes, 0, to.get(),
                 to.size); // a full queue is part of some tests
}

/// A listening child process. Port and owner are known when the constructor returns.
class Server {
public:
    Server(const Side& side, const std::string& comm, Serve how, const std::string& host)
        : x_child(side.path(), comm, [=](const Tell& tell) { return serve(tell, how, host); }),
          x_port(static_cast<std::uint16_t>(x_child.number())) {}

    std::uint16_t port() const { return x_port; }
    pid_t pid() const { return x_child.pid(); }

private:
    static int serve(const Tell& tell, Serve how, const std::string& host) {
        const UniqueFd listener = make_socket(host, SOCK_STREAM, kDeadlineSeconds);
        const Address at = address_of(host, 0);
        must(::bind(listener.get(), at.get(), at.size) == 0 && ::listen(listener.get(), 1024) == 0,
             "listen");
        tell(local_port(listener.get()));
        std::map<int, UniqueFd> open;
        for (;;) {
            std::vector<pollfd> ready = {{listener.get(), POLLIN, 0}};
            for (const auto& [fd, owned] : open)
                ready.push_back({fd, POLLIN, 0});
            must(::poll(ready.data(), ready.size(), -1) > 0, "wait for clients");
            for (std::size_t i = 1; i < ready.size(); i++)
                if (ready[i].revents && !answer(ready[i].fd, how))
                    open.erase(ready[i].fd);
            if (ready[0].revents)
                if (UniqueFd fd(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC)); fd)
                    open.emplace(fd.get(), std::move(fd));
        }
    }

    static bool answer(int fd, Serve how) {
        static std::vector<char> bytes(65536);
        const ssize_t got = ::recv(fd, bytes.data(), bytes.size(), 0);
        if (got <= 0)
            return false;
        if (how != Serve::kSink &&
            ::send(fd, bytes.data(), static_cast<std::size_t>(got), MSG_NOSIGNAL) != got)
            return false;
        if (how == Serve::kReset)
            reset_on_close(fd);
        return how != Serve::kReset;
    }

    Child x_child;
    std::uint16_t x_port;
};

/// Joined namespaces through which packets are known to pass.
inline void wait_for_wire(const TwoNs& ns) {
    constexpr std::uint16_t kNobody = 9;
    for (const std::string& host : {ns.b.v4, ns.b.v6}) {
        const bool answered = eventually([&] {
            int error = 0;
            ns.a.in([&] { error = try_connect(host, kNobody, 0.2); });
            return error == ECONNREFUSED;
        });
        must(answered, "reach the other namespace");
    }
}

struct WiredNs : TwoNs {
    WiredNs() { wait_for_wire(*this); }
};

} // namespace culprit::test
