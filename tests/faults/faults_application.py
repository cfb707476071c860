# SPDX-License-Identifier: MIT
"""Processes that take the time the network is blamed for."""
import hashlib
import random
import socket
import time

from stage import actors, innocent, kernel
from stage.scenario import fault, grows, Truth
from stage.wire import Way

NOT_APPS = ("packet-loss", "network-latency", "listen-overflow", "firewall-drop", "connect-timeout")


@fault("app-latency", forbidden=(*NOT_APPS, "app-hang", "accept-delay"))
def slow_service(w):
    """A server answers late; the network and its queue are fine."""
    link = w.pair() if w.pick(True, False) else w.far(Way(delay=w.between(0.002, 0.01)))[0]
    innocent.services(w, link.a, link.b)
    port = w.port()
    slow = w.between(0.3, 0.9)
    guilty = w.serve(link.b, actors.server, port, actors.answers(think=lambda: slow * random.uniform(0.7, 1.3)))
    link.a.start(actors.clients, link.b.addr, port, count=w.between(4, 10), per_second=3, keep=w.pick(True, False))
    time.sleep(2)
    return Truth(guilty)


def burns(megabytes):
    """Answers after some honest work."""
    data = bytes(1_000_000)
    def handle(sock):
        while head := sock.recv(actors.HEAD.size, socket.MSG_WAITALL):
            ask, reply = actors.HEAD.unpack(head)
            actors.read_exactly(sock, ask)
            for _ in range(megabytes):
                hashlib.sha256(data).digest()
            sock.sendall(bytes(reply))
    return handle


def throttled(addr, port, folder, megabytes):
    kernel.join_cgroup(folder)
    actors.server(addr, port, burns(megabytes))


@fault("cpu-throttled", also=("app-latency",), forbidden=(*NOT_APPS, "app-hang"))
def quota_too_small(w):
    """A server's cgroup may use less CPU than its requests need."""
    link = w.pair()
    innocent.services(w, link.a, link.b)
    port = w.port()
    folder = kernel.cpu_cgroup(w, w.between(4, 10))
    guilty = w.serve(link.b, throttled, port, folder, w.between(10, 20))
    link.a.start(actors.clients, link.b.addr, port, count=6, per_second=5, keep=True, timeout=30.0)
    return Truth(guilty, proof=kernel.throttled(folder))


def writes_twice(addr, port, per_second):
    """Sends each request in two pieces, with Nagle's algorithm on."""
    def nagle(sock):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)
    with actors.connect(addr, port, setup=nagle) as sock:
        for _ in actors.ticks(per_second):
            size = random.randint(60, 300)
            sock.sendall(actors.HEAD.pack(size, 300))
            sock.sendall(bytes(size))
            actors.read_exactly(sock, 300)


@fault("nagle-delack", forbidden=(*NOT_APPS, "app-latency", "app-hang"))
def small_writes(w):
    """Small writes wait for delayed acknowledgements."""
    link = w.pair()
    innocent.services(w, link.a, link.b)
    port = w.port()
    w.serve(link.b, actors.server, port, actors.answers())
    guilty = link.a.start(actors.crowd, w.between(2, 5), writes_twice, link.b.addr, port, 15)
    time.sleep(2)
    return Truth([guilty, None], hurts=None)


def alerts(sock):
    """What a TLS server says to a client it cannot agree with."""
    sock.recv(4096)
    sock.sendall(b"\x15\x03\x03\x00\x02\x02\x28")


def hello(addr, port, per_second):
    for _ in actors.ticks(per_second):
        try:
            with actors.connect(addr, port) as sock:
                sock.sendall(b"\x16\x03\x01\x01\x00\x01\x00\x00\xfc\x03\x03" + random.randbytes(249))
                sock.recv(4096)
        except OSError:
            pass


@fault("handshake-failure", forbidden=(*NOT_APPS, "conn-refused", "rst-storm"))
def no_common_cipher(w):
    """Connections end right after the first exchange, each time."""
    link = w.pair()
    innocent.services(w, link.a, link.b)
    port = w.port()
    server = w.serve(link.b, actors.server, port, alerts)
    client = link.a.start(hello, link.b.addr, port, w.between(5, 15))
    return Truth([client, server, None], proof=grows(link.a, "Tcp.ActiveOpens"))
