// SPDX-License-Identifier: MIT
// Ways to build a server. Each worker answers a line with its own process number, so a client knows
// who really served it.
#pragma once

#include <sys/epoll.h>
#include <sys/uio.h>

#include <thread>

#include "support/traffic.h"

namespace culprit::test::models {

inline constexpr int kWorkers = 3;

/// A child of a server; dies with it.
template <typename Work>
void fork_worker(const Work& work) {
    const pid_t pid = ::fork();
    must(pid >= 0, "fork a worker");
    if (pid)
        return;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    work();
    ::_exit(0);
}

[[noreturn]] inline void pause_forever() {
    for (;;)
        ::pause();
}

/// The parent only waits.
template <typename Work>
[[noreturn]] void fork_workers(const Work& work) {
    for (int i = 0; i < kWorkers; i++)
        fork_worker(work);
    pause_forever();
}

inline UniqueFd listen_on(const std::string& host, std::uint16_t port, int backlog = 256) {
    UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const int on = 1;
    const Address at = address_of(host, port);
    must(fd && ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) == 0 &&
             ::bind(fd.get(), at.get(), at.size) == 0 && ::listen(fd.get(), backlog) == 0,
         "listen");
    return fd;
}

inline UniqueFd next_client(const UniqueFd& listener) {
    return UniqueFd(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
}

/// Reads a line and answers with this process's number.
inline void answer(const UniqueFd& fd) {
    char byte = 0;
    while (::recv(fd.get(), &byte, 1, 0) == 1 && byte != '\n') {
    }
    ::dprintf(fd.get(), "%d\n", ::getpid());
}

inline void accept_and_answer(const UniqueFd& listener) {
    for (;;)
        if (const UniqueFd fd = next_client(listener); fd)
            answer(fd);
}

using Model = void (*)(const UniqueFd& listener, const std::string& host);

inline void single(const UniqueFd& listener, const std::string&) {
    accept_and_answer(listener);
}

inline void threads(const UniqueFd& listener, const std::string&) {
    for (;;) {
        UniqueFd fd = next_client(listener);
        std::thread([fd = std::move(fd)] {
            ::prctl(PR_SET_NAME, "ct-thread");
            answer(fd);
        }).detach();
    }
}

inline void prefork(const UniqueFd& listener, const std::string&) {
    fork_workers([&] { accept_and_answer(listener); });
}

inline void accept_in_child(const UniqueFd& listener, const std::string&) {
    ::signal(SIGCHLD, SIG_IGN);
    for (;;) {
        const UniqueFd fd = next_client(listener);
        fork_worker([&] { answer(fd); });
    }
}

/// The first listening socket is dropped: each worker has one of its own.
inline void reuseport(const UniqueFd& listener, const std::string& host) {
    const std::uint16_t port = local_port(listener.get());
    for (int i = 0; i < kWorkers; i++)
        fork_worker([&] {
            const UniqueFd own = listen_on(host, port);
            accept_and_answer(own);
        });
    ::usleep(50'000);
    ::shutdown(listener.get(), SHUT_RD);
    pause_forever();
}

/// One byte with room for a descriptor beside it.
struct FdMessage {
    char byte = 'f';
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    iovec data{&byte, 1};
    msghdr message{};

    FdMessage() {
        message.msg_iov = &data;
        message.msg_iovlen = 1;
        message.msg_control = control;
        message.msg_controllen = sizeof(control);
    }
    FdMessage(const FdMessage&) = delete; // it points into itself
    FdMessage& operator=(const FdMessage&) = delete;
};

inline void send_fd(int to, int fd) {
    FdMessage one;
    cmsghdr* header = CMSG_FIRSTHDR(&one.message);
    *header = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
    std::memcpy(CMSG_DATA(header), &fd, sizeof(fd));
    must(::sendmsg(to, &one.message, 0) == 1, "pass a descriptor");
}

inline UniqueFd receive_fd(int from) {
    FdMessage one;
    must(::recvmsg(from, &one.message, MSG_CMSG_CLOEXEC) == 1 && CMSG_FIRSTHDR(&one.message),
         "receive a descriptor");
    int fd = -1;
    std::memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&one.message)), sizeof(fd));
    return UniqueFd(fd);
}

inline void pass_fds(const UniqueFd& listener, const std::string&) {
    int ends[2];
    must(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0, "make a Unix socket pair");
    fork_worker([&] {
        for (;;)
            answer(receive_fd(ends[1]));
    });
    for (;;)
        send_fd(ends[0], next_client(listener).get());
}

inline void epoll_workers(const UniqueFd& listener, const std::string&) {
    ::fcntl(listener.get(), F_SETFL, O_NONBLOCK);
    fork_workers([&] {
        const UniqueFd poll(::epoll_create1(0));
        epoll_event event{};
        event.events = EPOLLIN;
        must(::epoll_ctl(poll.get(), EPOLL_CTL_ADD, listener.get(), &event) == 0, "epoll");
        while (::epoll_wait(poll.get(), &event, 1, -1) >= 0)
            if (const UniqueFd fd = next_client(listener); fd)
                answer(fd);
    });
}

/// As inetd does: a program that knows nothing of sockets, with the connection as its input.
inline void inetd(const UniqueFd& listener, const std::string&) {
    ::signal(SIGCHLD, SIG_IGN);
    for (;;) {
        const UniqueFd fd = next_client(listener);
        fork_worker([&] {
            ::dup2(fd.get(), STDIN_FILENO);
            ::dup2(fd.get(), STDOUT_FILENO);
            ::execl("/bin/sh", "sh", "-c", "read line; echo $$", nullptr);
        });
    }
}

/// Speaks first and reads nothing.
inline void greeter(const UniqueFd& listener, const std::string&) {
    fork_workers([&] {
        for (;;)
            if (const UniqueFd fd = next_client(listener); fd) {
                ::dprintf(fd.get(), "%d\n", ::getpid());
                ::shutdown(fd.get(), SHUT_WR);
            }
    });
}

struct Named {
    const char* name;
    Model model;
};
inline constexpr Named kAll[] = {
    {"single", single},       {"threads", threads},
    {"prefork", prefork},     {"accept-in-child", accept_in_child},
    {"reuseport", reuseport}, {"fd passing", pass_fds},
    {"epoll", epoll_workers}, {"inetd", inetd},
    {"greeter", greeter},
};

/// Listens, and does what it is told; stays when that is done.
class Host {
public:
    using Serve = std::function<void(const UniqueFd& listener, const Tell&)>;

    Host(const Side& side, const std::string& comm, const std::string& host, const Serve& serve)
        : x_child(side.path(), comm,
                  [&](const Tell& tell) -> int {
                      const UniqueFd listener = listen_on(host, 0);
                      tell(local_port(listener.get()));
                      serve(listener, tell);
                      pause_forever();
                  }),
          x_port(static_cast<std::uint16_t>(x_child.number())) {}
    std::uint16_t port() const { return x_port; }
    pid_t pid() const { return x_child.pid(); }
    pid_t told() const { return static_cast<pid_t>(x_child.number()); }

private:
    Child x_child;
    std::uint16_t x_port;
};

/// A server built that way, in a process of its own.
class ModelServer : public Host {
public:
    ModelServer(const Side& side, const std::string& host, Model model)
        : Host(side, "ct-model", host,
               [&](const UniqueFd& listener, const Tell&) { model(listener, host); }) {}
};

/// One question; who answered.
inline pid_t ask(int fd) {
    must(::send(fd, "x\n", 2, MSG_NOSIGNAL) == 2, "ask");
    std::string text;
    char bytes[64];
    ssize_t got = 0;
    while (text.find('\n') == std::string::npos && (got = ::recv(fd, bytes, sizeof(bytes), 0)) > 0)
        text.append(bytes, static_cast<std::size_t>(got));
    return text.empty() ? 0 : std::stoi(text);
}

} // namespace culprit::test::models
