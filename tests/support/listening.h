// SPDX-License-Identifier: MIT
// Listening processes that do not do their work, and clients that do not wait.
#pragma once

#include "support/finding.h"
#include "support/traffic.h"

namespace culprit::test {

inline constexpr int kBacklog = 8;

/// A listening process that does with its socket what the test wants.
class Listening {
public:
    using Work = std::function<void(int listener)>;

    Listening(const Side& side, const std::string& comm, const std::string& host, const Work& work,
              std::uint16_t port = 0, int backlog = kBacklog)
        : x_child(side.path(), comm,
                  [=](const Tell& tell) {
                      const UniqueFd fd = make_socket(host, SOCK_STREAM, kDeadlineSeconds);
                      const int yes = 1;
                      ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEPORT, &yes, sizeof(yes));
                      const Address at = address_of(host, port);
                      must(::bind(fd.get(), at.get(), at.size) == 0 &&
                               ::listen(fd.get(), backlog) == 0,
                           "listen");
                      tell(local_port(fd.get()));
                      work(fd.get());
                      return 0;
                  }),
          x_port(static_cast<std::uint16_t>(x_child.number())) {}

    std::uint16_t port() const { return x_port; }
    pid_t pid() const { return x_child.pid(); }
    int wait() { return x_child.wait(); }

private:
    Child x_child;
    std::uint16_t x_port;
};

inline void sleeps(int) {
    for (;;)
        ::pause();
}

inline void closes_at_once(int listener) {
    for (;;)
        const UniqueFd done(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
}

inline void accepts_slowly(int listener) {
    for (;; pause_ms(100))
        const UniqueFd done(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
}

/// Starts connections one after the other without waiting for them, and keeps them for a while.
inline int knock(const std::string& host, std::uint16_t port, int count, int keep_ms,
                 int pace_ms = 20) {
    const Address to = address_of(host, port);
    std::vector<UniqueFd> open;
    for (int i = 0; i < count; i++, pause_ms(pace_ms)) {
        open.push_back(make_socket(host, SOCK_STREAM | SOCK_NONBLOCK, 1));
        ::connect(open.back().get(), to.get(), to.size);
    }
    pause_ms(keep_ms);
    return 0;
}

} // namespace culprit::test
