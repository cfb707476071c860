// SPDX-License-Identifier: MIT
// Traffic whose units are counted where the bench can read them at any moment. In Python most of a unit
// would be Python, and what a tool adds to it would look smaller than it is.
// usage: work MODE SIDE ADDRESS FILE (the count is the first 8 bytes of FILE)
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define PORT 9100
#define BATCH 64
#define SMALL 64

static volatile unsigned long* done;
static struct sockaddr_in address;
static char data[65536];

static void check(long result, const char* doing) {
    if (result >= 0)
        return;
    perror(doing);
    exit(1);
}

static int listening(void) {
    const int here = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    setsockopt(here, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    check(bind(here, (struct sockaddr*)&address, sizeof(address)), "bind");
    check(listen(here, 1024), "listen");
    return here;
}

static int connected(int type) {
    const int here = socket(AF_INET, type, 0), on = 1;
    if (type == SOCK_STREAM)
        setsockopt(here, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    check(connect(here, (struct sockaddr*)&address, sizeof(address)), "connect");
    return here;
}

static void stream_from(void) {
    const int here = connected(SOCK_STREAM);
    while (send(here, data, sizeof(data), 0) > 0)
        ++*done;
}

static void stream_to(void) {
    const int peer = accept(listening(), NULL, NULL);
    while (recv(peer, data, sizeof(data), 0) > 0)
        ;
}

static void ask(void) {
    const int here = connected(SOCK_STREAM);
    while (send(here, data, SMALL, 0) > 0 && recv(here, data, SMALL, 0) > 0)
        ++*done;
}

static void answer(void) {
    const int peer = accept(listening(), NULL, NULL);
    while (recv(peer, data, SMALL, 0) > 0)
        send(peer, data, SMALL, 0);
}

static void churn(void) {
    for (;; ++*done) {
        const int here = connected(SOCK_STREAM);
        send(here, data, SMALL, 0);
        recv(here, data, SMALL, 0);
        close(here);
    }
}

/* Closes first, so that the client's ports are free at once. */
static void serve(void) {
    for (const int here = listening();;) {
        const int peer = accept(here, NULL, NULL);
        recv(peer, data, SMALL, 0);
        send(peer, data, SMALL, 0);
        close(peer);
    }
}

static void datagrams_from(void) {
    struct mmsghdr batch[BATCH] = {0};
    struct iovec part = {data, SMALL};
    const int here = connected(SOCK_DGRAM);
    for (int i = 0; i < BATCH; i++)
        batch[i].msg_hdr = (struct msghdr){.msg_iov = &part, .msg_iovlen = 1};
    for (;;) {
        const int sent = sendmmsg(here, batch, BATCH, 0);
        *done += sent > 0 ? (unsigned long)sent : 0;
    }
}

static int bound_datagrams(void) {
    const int here = socket(AF_INET, SOCK_DGRAM, 0), room = 8 << 20;
    setsockopt(here, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
    check(bind(here, (struct sockaddr*)&address, sizeof(address)), "bind");
    return here;
}

static void datagrams_to(void) {
    for (const int here = bound_datagrams();;)
        recv(here, data, SMALL, 0);
}

/* A socket whose filter drops all that comes: the kernel counts each one. */
static void refuse(void) {
    struct sock_filter nothing = {BPF_RET | BPF_K, 0, 0, 0};
    struct sock_fprog filter = {1, &nothing};
    const int here = bound_datagrams();
    check(setsockopt(here, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)), "filter");
    pause();
}

static const struct {
    const char* mode;
    void (*from)(void);
    void (*to)(void);
} kModes[] = {{"bulk", stream_from, stream_to},
              {"ask", ask, answer},
              {"churn", churn, serve},
              {"datagrams", datagrams_from, datagrams_to},
              {"drops", datagrams_from, refuse}};

int main(int count, char** arguments) {
    if (count != 5)
        return 2;
    const int file = open(arguments[4], O_RDWR);
    check(file, arguments[4]);
    done = mmap(NULL, sizeof(*done), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(PORT)};
    inet_pton(AF_INET, arguments[3], &address.sin_addr);
    for (size_t i = 0; i < sizeof(kModes) / sizeof(kModes[0]); i++)
        if (strcmp(kModes[i].mode, arguments[1]) == 0)
            (strcmp(arguments[2], "from") == 0 ? kModes[i].from : kModes[i].to)();
    return 1;
}
