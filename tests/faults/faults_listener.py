# SPDX-License-Identifier: MIT
"""Servers that do not take what comes: full queues, no descriptors, floods, closed ports."""
import contextlib
import random
import signal
import socket
import struct
import threading
import time

from stage import actors, innocent, kernel
from stage.scenario import ANYONE, fault, grows, Skip, Truth
from stage.wire import Way

TCP_MD5SIG = 14
NOT_LISTENERS = ("packet-loss", "firewall-drop", "connect-timeout")


@fault("listen-overflow", forbidden=("syn-flood", *NOT_LISTENERS), short=True)
def slow_accept(w):
    """A server takes one connection in a while, its clients come faster."""
    link = w.pair()
    innocent.services(w, link.a, link.b)
    port = w.port()
    guilty = w.serve(link.b, actors.server, port, actors.answers(), backlog=w.between(2, 24), pause=w.between(0.3, 0.9))
    link.a.start(actors.attempts, link.b.addr, port, per_second=w.between(12, 40), hold=0.5)
    return Truth(guilty, place=link.b, proof=grows(link.b, "TcpExt.ListenOverflows"))


@fault("listen-overflow", forbidden=("syn-flood", *NOT_LISTENERS))
def slow_accept_far(w):
    """The same with clients far away and a service that somaxconn limits."""
    link, _ = w.far(Way(delay=w.between(0.01, 0.06)))
    innocent.services(w, link.a, link.b)
    port = w.port()
    link.b.sysctl("net.core.somaxconn", w.between(4, 16))
    guilty = w.serve(link.b, actors.server, port, actors.answers(), backlog=511, pause=w.between(0.2, 0.5))
    link.a.start(actors.attempts, link.b.addr, port, per_second=w.between(20, 40), hold=0.5)
    return Truth(guilty, place=link.b, proof=grows(link.b, "TcpExt.ListenOverflows"))


@fault("app-hang", "listen-overflow", forbidden=("syn-flood", "close-wait-leak", *NOT_LISTENERS))
def stopped_server(w):
    """A server is stopped with SIGSTOP; its queue fills."""
    link = w.pair()
    innocent.services(w, link.a, link.b)
    port = w.port()
    guilty = w.serve(link.b, actors.server, port, actors.answers(), backlog=w.between(4, 40))
    guilty.signal(signal.SIGSTOP)
    link.a.start(actors.attempts, link.b.addr, port, per_second=w.between(15, 40), hold=0.5)
    return Truth(guilty, place=link.b, proof=grows(link.b, "TcpExt.ListenOverflows"))


def hoard(addr, port, limit):
    """Keeps every connection, and may have only so many descriptors."""
    actors.limit_files(limit)
    held = []
    with actors.listen(addr, port, 8) as listener:
        for _ in actors.ticks(200):
            with contextlib.suppress(OSError):
                held.append(listener.accept())


@fault("fd-exhaustion", also=("listen-overflow",), forbidden=("syn-flood", "packet-loss"))
def no_descriptors(w):
    """A server leaks descriptors until accept() fails."""
    link = w.pair()
    innocent.services(w, link.a, link.b)
    port = w.port()
    guilty = w.serve(link.b, hoard, port, w.between(40, 120))
    link.a.start(actors.attempts, link.b.addr, port, per_second=60, hold=60)
    return Truth(guilty, place=link.b, proof=grows(link.b, "TcpExt.ListenOverflows"))


def flood_of_syns(target, port, per_second):
    with kernel.raw_socket() as sock:
        for _ in actors.ticks(per_second / 50):
            for _ in range(50):
                source = f"203.0.{random.randint(64, 127)}.{random.randint(1, 254)}"
                with contextlib.suppress(OSError):
                    sock.sendto(kernel.syn(source, target, random.randint(1024, 65000), port, random.getrandbits(32)), (target, 0))


@fault("syn-flood", forbidden=("listen-overflow", "port-scan", *NOT_LISTENERS), v6=False, short=True)
def syn_flood(w):
    """Requests from addresses that do not exist fill a listener's SYN queue, with cookies or without."""
    one, two = w.routed()
    innocent.services(w, one.a, two.b)
    two.b.sysctl("net.ipv4.tcp_syncookies", w.pick(0, 1))
    one.b.sh("ip route add blackhole 203.0.64.0/18")
    for scope in ("all", "default", one.dev_b):
        one.b.sysctl(f"net.ipv4.conf.{scope}.rp_filter", 0)
    port = w.port()
    w.serve(two.b, actors.server, port, actors.answers(), backlog=w.between(64, 200))
    one.a.start(actors.clients, two.b.addr, port, count=2, per_second=5)
    one.a.start(flood_of_syns, two.b.addr, port, w.between(800, 2500))
    return Truth(None, place=two.b, proof=lambda: sum(two.b.counter("TcpExt." + name) for name in (
        "TCPReqQFullDrop", "TCPReqQFullDoCookies", "ListenDrops")), least=100)


@fault("conn-refused", forbidden=("firewall-reject", "port-scan", "host-unreachable", *NOT_LISTENERS), short=True)
def closed_port(w):
    """A client is configured with a port where nobody listens."""
    link = w.pair()
    innocent.services(w, link.a, link.b)
    guilty = link.a.start(actors.attempts, link.b.addr, w.port(), per_second=w.between(4, 20))
    return Truth(guilty, place=link.a, proof=grows(link.a, "Tcp.AttemptFails"))


@fault("conn-refused", also=("rst-storm",), forbidden=("firewall-reject", "port-scan", *NOT_LISTENERS))
def service_dies(w):
    """A service dies while culprit watches; its clients go on."""
    link = w.pair()
    innocent.services(w, link.a, link.b)
    port = w.port()
    server = w.serve(link.b, actors.server, port, actors.answers())
    client = link.a.start(actors.clients, link.b.addr, port, count=3, per_second=w.between(4, 10))
    return Truth(client, place=link.a, watching=lambda: server.signal(signal.SIGKILL))


def scan(addr, first, count, per_second):
    for number, _ in enumerate(actors.ticks(per_second)):
        with contextlib.suppress(OSError):
            actors.connect(addr, first + number % count, 1.0).close()


@fault("port-scan", forbidden=("conn-refused", "syn-flood", "rst-storm", *NOT_LISTENERS))
def scanner(w):
    """A process of this host tries one port after the other."""
    link = w.pair()
    innocent.services(w, link.a, link.b)
    guilty = link.a.start(scan, link.b.addr, w.between(1000, 20000), 4000, w.between(60, 300))
    return Truth(guilty, place=link.a, proof=grows(link.a, "Tcp.AttemptFails"))


def signed_listener(addr, port, handle, peer):
    """Wants TCP-MD5 of one peer, as a BGP speaker does."""
    def setup(sock):
        where = struct.pack("H2x4x16s4x", socket.AF_INET6, socket.inet_pton(socket.AF_INET6, peer)) if ":" in peer \
            else struct.pack("H2x4s", socket.AF_INET, socket.inet_aton(peer))
        key = b"not-the-same"
        sock.setsockopt(socket.IPPROTO_TCP, TCP_MD5SIG,
                        struct.pack("128sBBHI80s", where, 0, 0, len(key), 0, key))
    actors.server(addr, port, handle, setup=setup)


@fault("md5-mismatch", forbidden=("listen-overflow", "local-drop", "syn-loss", *NOT_LISTENERS))
def unsigned_peer(w):
    """A listener wants signed segments of a peer that does not sign."""
    link = w.pair()
    innocent.services(w, link.b, link.a)
    port = w.port()
    try:
        w.serve(link.b, signed_listener, port, actors.answers(), link.addr_a)
    except RuntimeError as error:
        raise Skip("this kernel has no TCP-MD5") from error
    link.a.start(actors.attempts, link.b.addr, port, per_second=w.between(2, 8), timeout=4.0)
    return Truth(ANYONE, place=link.b, proof=grows(link.a, "TcpExt.TCPSynRetrans"))


@fault("accept-delay", forbidden=("listen-overflow", "syn-flood", "app-hang", "network-latency", *NOT_LISTENERS))
def long_queue(w):
    """Connections wait in a deep accept queue that never overflows."""
    link = w.pair()
    innocent.services(w, link.a, link.b)
    port = w.port()
    pause = w.between(0.07, 0.15)
    guilty = w.serve(link.b, actors.server, port, actors.answers(), backlog=1000, pause=pause)
    link.a.start(actors.crowd, w.between(8, 16), actors.requests, link.b.addr, port, per_second=20, timeout=20.0)
    time.sleep(2)
    return Truth(guilty, place=link.b)


def deadlocked(addr, port):
    """Takes a few connections and then waits for something that never comes."""
    lock = threading.Lock()
    with actors.listen(addr, port, 200) as listener:
        held = [listener.accept() for _ in range(3)]
        lock.acquire()
        lock.acquire(timeout=110)
    del held


@fault("app-hang", also=("accept-delay",), forbidden=("syn-flood", "app-latency", *NOT_LISTENERS))
def deadlock(w):
    """A server hangs: nothing is accepted or answered, and its queue is deep."""
    link = w.pair()
    innocent.services(w, link.a, link.b)
    port = w.port()
    guilty = w.serve(link.b, deadlocked, port)
    link.a.start(actors.crowd, 12, actors.requests, link.b.addr, port, per_second=5, timeout=w.between(2.0, 4.0))
    time.sleep(2)
    return Truth(guilty, place=link.b)
