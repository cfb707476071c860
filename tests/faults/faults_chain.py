# SPDX-License-Identifier: MIT
"""Services that need one another, and services of several processes: which of them is it?"""
import contextlib
import os
import random
import signal
import time

from stage import actors, innocent
from stage.scenario import fault, grows, Truth
from stage.wire import Way

NOT_CHAINS = ("packet-loss", "network-latency", "firewall-drop", "peer-dead")


def passes_up(backend):
    """Sends the backend what the client sends, no faster than it takes it."""
    def handle(sock):
        with actors.connect(*backend) as target:
            target.settimeout(100)
            while data := sock.recv(65536):
                target.sendall(data)
    return handle


def never_reads(sock):
    time.sleep(110)
    sock.close()


@fault("zero-window", "receiver-limited", forbidden=NOT_CHAINS)
def stuck_backend(w):
    """A backend stops reading, and the proxy in front of it stops reading its clients."""
    front = w.pair()
    back = w.join(front.b, w.net())
    innocent.services(w, front.a, front.b)
    port, beyond = w.port(), w.port()
    guilty = w.serve(back.b, actors.server, beyond, never_reads, addr=back.addr_b)
    proxy = w.serve(front.b, actors.server, port, passes_up((back.addr_b, beyond)))
    front.a.start(actors.crowd, w.between(2, 4), actors.upload, front.b.addr, port)
    time.sleep(3)
    return Truth(guilty, hurts=proxy)


def asks_often(backend, times):
    """Answers after several questions to the backend, one after the other."""
    def handle(sock):
        with actors.connect(*backend, 20.0) as target:
            while len(head := sock.recv(actors.HEAD.size)) == actors.HEAD.size:
                ask, reply = actors.HEAD.unpack(head)
                actors.read_exactly(sock, ask)
                for _ in range(times):
                    actors.request(target, 60, 300)
                sock.sendall(bytes(reply))
    return handle


@fault("app-latency", forbidden=(*NOT_CHAINS, "app-hang", "accept-delay"))
def slow_backend(w):
    """A backend is slow, and the service that calls it several times for each answer looks slower."""
    front = w.pair()
    back = w.join(front.b, w.net())
    innocent.services(w, front.a, front.b)
    port, beyond = w.port(), w.port()
    guilty = w.serve(back.b, actors.server, beyond, actors.answers(think=lambda: random.uniform(0.25, 0.35)),
                     addr=back.addr_b)
    w.serve(front.b, actors.server, port, asks_often((back.addr_b, beyond), w.between(3, 5)))
    front.a.start(actors.clients, front.b.addr, port, count=w.between(4, 8), per_second=3, keep=True, timeout=20.0)
    time.sleep(2)
    return Truth(guilty)


def forks(addr, port, handle):
    """A process for each connection."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with actors.listen(addr, port, 200) as listener:
        for _ in range(100_000):
            sock, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                actors.handled(sock, handle)
                os._exit(0)
            sock.close()


@fault("app-latency", forbidden=(*NOT_CHAINS, "app-hang", "accept-delay", "rst-storm"))
def slow_children(w):
    """A server that forks for each connection is slow in each of its children."""
    link = w.pair()
    innocent.services(w, link.a, link.b)
    port, slow = w.port(), w.between(0.3, 0.9)
    guilty = w.serve(link.b, forks, port, actors.answers(think=lambda: slow * random.uniform(0.8, 1.2)))
    link.a.start(actors.clients, link.b.addr, port, count=w.between(4, 8), per_second=3, keep=False)
    time.sleep(2)
    return Truth(guilty)


def scrapes(addr, ports, tally):
    """Asks many exporters of one host, each now and then."""
    for port, _ in zip(ports * 100, actors.ticks(8)):
        with contextlib.suppress(OSError):
            tally.add()
            actors.connect(addr, port, 1.2).close()


@fault("connect-timeout", "host-unreachable", forbidden=(*NOT_CHAINS, "port-scan"), v6=False)
def host_of_exporters_down(w):
    """A host with many services is down; a scraper tries each of them."""
    tally, nowhere = actors.Tally(), "198.51.100.7"
    link, _ = w.far(Way(delay=0.01, drop=lambda packet: packet[0] >> 4 == 4 and packet[19] == 7 and packet[16] == 198))
    link.a.sh(f"ip route add {nowhere} dev {link.dev_a}")
    innocent.services(w, link.a, link.b)
    first = w.between(9000, 20000)
    client = link.a.start(actors.crowd, 8, scrapes, nowhere, list(range(first, first + w.between(22, 40))), tally)
    return Truth([None, client], hurts=client, proof=grows(link.a, "TcpExt.TCPSynRetrans"))


def pool(addr, port, count, limit, tally):
    actors.limit_files(limit)
    held = [actors.connect(addr, port) for _ in range(count)]
    tally.add(len(held))
    time.sleep(110)


def keeps_all(addr, port):
    actors.limit_files(20_000)
    with actors.listen(addr, port, 4000) as listener:
        held = [listener.accept() for _ in range(15_000)]
    del held


@fault("too-many-connections", forbidden=("fd-exhaustion", "close-wait-leak", *NOT_CHAINS))
def pool_nearly_full(w):
    """A client's pool of connections comes near its limit of open files; nothing happens on them."""
    link = w.pair()
    innocent.services(w, link.a, link.b)
    limit, port, tally = w.between(200, 900), w.port(), actors.Tally()
    count = int(limit * 0.95)
    w.serve(link.b, keeps_all, port)
    guilty = link.a.start(pool, link.b.addr, port, count, limit, tally)
    return Truth(guilty, ready=lambda: tally.read() >= count)
