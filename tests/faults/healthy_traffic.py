# SPDX-License-Identifier: MIT
"""Healthy hosts, by what their connections carry: nothing may be reported."""
import contextlib
import random
import socket
import threading
import time

from stage import actors, innocent
from stage.scenario import healthy, Truth
from stage.wire import Way


@healthy()
def idle(w):
    """Only what runs beside each fault."""
    return Truth()


@healthy()
def bulk(w):
    """A transfer at the speed of the machine."""
    link = w.pair()
    innocent.services(w, link.a, link.b)
    port, tally = w.port(), actors.Tally()
    w.serve(link.b, actors.server, port, actors.pours())
    cc = w.pick("bbr", "cubic", "reno")
    link.a.start(actors.crowd, w.between(1, 3), actors.download, link.b.addr, port, tally=tally,
                 setup=lambda s: actors.set_congestion(s, cc))
    return Truth(proof=tally.read, least=10_000_000)


@healthy(short=True)
def short_connections(w):
    """A thousand short connections per second, all of them answered and closed."""
    link = w.pair()
    innocent.services(w, link.a, link.b)
    link.a.sysctl("net.ipv4.ip_local_port_range", "2000 65000")
    tally = actors.Tally()
    for _ in range(4):
        port = w.port()
        w.serve(link.b, actors.quick_server, port, actors.answers())
        link.a.start(actors.requests, link.b.addr, port, per_second=w.between(150, 250), reply=(100, 2000), tally=tally)
    return Truth(proof=tally.read, least=100)


@healthy()
def graceful_closes(w):
    """Connections end in the usual way, and TIME_WAIT fills to its natural level."""
    link = w.pair()
    port, tally = w.port(), actors.Tally()
    w.serve(link.b, actors.server, port, actors.answers())
    link.a.start(actors.clients, link.b.addr, port, count=4, per_second=w.between(15, 40), tally=tally)
    return Truth(proof=tally.read, least=100)


@healthy(short=True)
def long_way(w):
    """A long path with buffers of the right size."""
    link, _ = w.far(Way(delay=w.between(0.04, 0.09)))
    innocent.services(w, link.a, link.b)
    port = w.port()
    w.serve(link.b, actors.server, port, actors.sink)
    link.a.start(actors.crowd, 2, actors.upload, link.b.addr, port, bytes_per_second=w.between(300_000, 1_200_000))
    return Truth(proof=lambda: link.a.counter("Tcp.OutSegs"), least=200)


@healthy()
def internet_path(w):
    """A path that loses one packet in a thousand, as the Internet does."""
    link, _ = w.far(Way(delay=w.between(0.01, 0.04), jitter=0.002, loss=0.001))
    innocent.services(w, link.a, link.b)
    port = w.port()
    w.serve(link.b, actors.server, port, actors.sink)
    link.a.start(actors.crowd, 3, actors.upload, link.b.addr, port, bytes_per_second=w.between(300_000, 800_000))
    return Truth(proof=lambda: link.a.counter("Tcp.OutSegs"), least=200)


@healthy()
def little_to_send(w):
    """Senders that have little to say: the application sets the pace."""
    link = w.pair() if w.pick(True, False) else w.far(Way(delay=w.between(0.01, 0.05)))[0]
    port = w.port()
    w.serve(link.b, actors.server, port, actors.sink)
    link.a.start(actors.crowd, 5, actors.upload, link.b.addr, port, bytes_per_second=w.between(2_000, 60_000),
                 piece=w.between(80, 2000), nodelay=w.pick(True, False))
    return Truth(proof=lambda: link.a.counter("Tcp.OutSegs"), least=20)


@healthy()
def paced_stream(w):
    """A video server sends at the rate of the player."""
    link = w.pair() if w.pick(True, False) else w.far(Way(delay=w.between(0.01, 0.04)))[0]
    innocent.services(w, link.a, link.b)
    port, tally = w.port(), actors.Tally()
    w.serve(link.b, actors.server, port, actors.pours(bytes_per_second=w.between(200_000, 900_000), piece=w.between(20_000, 200_000)))
    link.a.start(actors.crowd, w.between(1, 4), actors.download, link.b.addr, port, tally=tally)
    return Truth(proof=tally.read, least=100_000)


def plays(addr, port, bytes_per_second, tally):
    """Reads a piece whenever its buffer has room, as players do."""
    with actors.connect(addr, port) as sock:
        for _ in actors.ticks(2, 0.05):
            if not actors.read_exactly(sock, bytes_per_second // 2):
                return
            tally.add(bytes_per_second // 2)


@healthy()
def player_reads(w):
    """A player reads at its own rate what a server would send faster."""
    link = w.pair()
    innocent.services(w, link.a, link.b)
    port, tally = w.port(), actors.Tally()
    w.serve(link.b, actors.server, port, actors.pours())
    link.a.start(actors.crowd, w.between(1, 3), plays, link.b.addr, port, w.between(300_000, 1_000_000), tally)
    return Truth(proof=tally.read, least=100_000)


@healthy()
def idle_connections(w):
    """Thousands of connections on which nothing happens."""
    link = w.pair()
    innocent.services(w, link.a, link.b)
    port, tally, count = w.port(), actors.Tally(), w.between(1500, 3500)
    w.serve(link.b, roomy, port)
    link.a.start(actors.open_and_keep, link.b.addr, port, count, tally)
    return Truth(ready=lambda: tally.read() >= count)


def roomy(addr, port):
    actors.limit_files(20_000)
    held = []
    with actors.listen(addr, port, 4000) as listener:
        for _ in range(100_000):
            held.append(listener.accept()[0])


def proxy(addr, port, origin, hits):
    """Answers from its memory most of the time, and asks the origin for the rest."""
    kept = []
    lock = threading.Lock()
    def fetch(reply):
        with lock:
            kept[:] = kept or [actors.connect(*origin)]
            actors.request(kept[0], 60, reply)
    def handle(sock):
        while len(head := sock.recv(actors.HEAD.size, socket.MSG_WAITALL)) == actors.HEAD.size:
            ask, reply = actors.HEAD.unpack(head)
            actors.read_exactly(sock, ask)
            if random.random() > hits:
                fetch(reply)
            sock.sendall(bytes(reply))
    actors.server(addr, port, handle, backlog=256)


@healthy()
def caching_proxy(w):
    """A proxy that answers most requests from its memory, with an origin far away."""
    front = w.pair()
    back = w.join(front.b, w.net())
    origin, port, tally = w.port(), w.port(), actors.Tally()
    w.serve(back.b, actors.server, origin, actors.answers(think=lambda: random.uniform(0.005, 0.04)))
    w.serve(front.b, proxy, port, (back.addr_b, origin), w.between(0.7, 0.95))
    front.a.start(actors.clients, front.b.addr, port, count=6, per_second=w.between(10, 30), keep=w.pick(True, False),
                  reply=(500, 30000), tally=tally)
    return Truth(proof=tally.read, least=50)


def nightly(addr, port, count):
    """Everything at once, then nothing for a while."""
    def job():
        with contextlib.suppress(OSError), actors.connect(addr, port) as sock:
            for _ in range(5):
                actors.request(sock, 20_000, 60_000)
    for _ in actors.ticks(0.3):
        threads = [threading.Thread(target=job, daemon=True) for _ in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


@healthy()
def batch(w):
    """A job that opens many connections at once every few seconds."""
    link = w.pair()
    innocent.services(w, link.a, link.b)
    port = w.port()
    w.serve(link.b, actors.server, port, actors.answers(think=lambda: random.uniform(0, 0.01)), backlog=512)
    link.a.start(nightly, link.b.addr, port, w.between(30, 90))
    return Truth(proof=lambda: link.a.counter("Tcp.ActiveOpens"), least=20)


def waits(addr, port):
    """Listens for news on one connection."""
    with contextlib.suppress(OSError), actors.connect(addr, port, 100) as sock:
        while sock.recv(4096):
            pass


@healthy()
def server_push(w):
    """Long polls that are answered when there is news, and servers that push."""
    link = w.pair()
    innocent.services(w, link.a, link.b)
    poll, push = w.port(), w.port()
    w.serve(link.b, actors.server, poll, actors.answers(think=lambda: random.uniform(2, 8)))
    w.serve(link.b, actors.server, push, actors.pushes(w.between(0.5, 3.0)))
    link.a.start(actors.clients, link.b.addr, poll, count=w.between(5, 20), per_second=5, keep=w.pick(True, False), timeout=30.0)
    link.a.start(actors.crowd, w.between(5, 15), waits, link.b.addr, push)
    time.sleep(3)
    return Truth()


@healthy()
def datagrams(w):
    """Telemetry: datagrams that are read as they come, some in bursts."""
    link = w.pair()
    innocent.services(w, link.a, link.b)
    tally = actors.Tally()
    for burst in (1, 20):
        port = w.port()
        w.serve(link.b, actors.udp_receive, port, tally=tally)
        link.a.start(actors.udp_send, link.b.addr, port, per_second=w.between(100, 500), burst=burst)
    return Truth(proof=tally.read, least=100)


@healthy()
def database_pool(w):
    """A pool of connections with answers after some milliseconds, now and then after many."""
    link = w.pair()
    port, tally = w.port(), actors.Tally()
    w.serve(link.b, actors.server, port, actors.answers(think=lambda: random.choice([0.002, 0.005, 0.01, 0.06])))
    link.a.start(actors.clients, link.b.addr, port, count=12, per_second=15, keep=True, reply=(50, 40000), tally=tally)
    return Truth(proof=tally.read, least=100)


def hangs_up(sock):
    """Reads a question, answers in a word and closes, as a database does that is asked whether it lives."""
    sock.recv(4096)
    sock.sendall(b"+PONG\r\n")


def greets(sock):
    sock.sendall(b"220 mail.example.org ESMTP\r\n")
    sock.recv(4096)


def says(question, addr, port, per_second):
    """Connects, says that and reads what comes; nothing is said when it is empty."""
    for _ in actors.ticks(per_second):
        with contextlib.suppress(OSError), actors.connect(addr, port, 2.0) as sock:
            if question:
                sock.sendall(question)
                sock.recv(4096)


def pages(sock):
    sock.recv(4096)
    sock.sendall(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")


@healthy()
def short_talks(w):
    """Pings, probes, banners and short pages: connections with a few bytes each way, often closed by the server."""
    link = w.pair()
    innocent.services(w, link.a, link.b)
    request = b"GET /healthz HTTP/1.1\r\nHost: web.example.org\r\nUser-Agent: probe/2.1 (kubelet)\r\nAccept: */*\r\n\r\n"
    for serve, question in ((hangs_up, b"*1\r\n$4\r\nPING\r\n"), (greets, b"QUIT\r\n"), (pages, request), (actors.sink, b"")):
        port = w.port()
        w.serve(link.b, actors.server, port, serve)
        link.a.start(says, question, link.b.addr, port, w.between(3, 12))
    return Truth(proof=lambda: link.a.counter("Tcp.ActiveOpens"), least=50)
