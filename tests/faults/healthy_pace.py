# SPDX-License-Identifier: MIT
"""Healthy hosts whose processes wait, pause and go away at a pace of their own: nothing may be reported."""
import contextlib
import queue
import random
import socket
import time

from stage import actors, innocent
from stage.scenario import healthy, Truth
from stage.wire import Way

SO_SNDBUFFORCE, SO_RCVBUFFORCE = 32, 33


def reads_pieces(addr, port, size, pause, tally):
    """Takes some seconds' worth at once, then nothing until that is played."""
    with actors.connect(addr, port) as sock:
        sock.settimeout(60)
        while actors.read_exactly(sock, size):
            tally.add(size)
            time.sleep(pause * random.uniform(0.9, 1.1))


@healthy()
def player_in_pieces(w):
    """A player fills its own buffer every few seconds and lets the connection rest between."""
    link = w.pair()
    innocent.services(w, link.a, link.b)
    port, tally = w.port(), actors.Tally()
    w.serve(link.b, actors.server, port, actors.pours())
    link.a.start(reads_pieces, link.b.addr, port, w.between(8_000_000, 16_000_000), w.between(2.5, 4.0), tally)
    return Truth(proof=tally.read, least=1_000_000)


def passes_on(origin):
    """Sends its client what the origin sends, no faster than the client takes it."""
    def handle(sock):
        with actors.connect(*origin) as source:
            source.settimeout(60)
            while data := source.recv(65536):
                sock.sendall(data)
    return handle


@healthy()
def proxy_of_a_player(w):
    """A proxy that waits for a client which takes its data in pieces."""
    front = w.pair()
    back = w.join(front.b, w.net())
    origin, port, tally = w.port(), w.port(), actors.Tally()
    w.serve(back.b, actors.server, origin, actors.pours())
    w.serve(front.b, actors.server, port, passes_on((back.addr_b, origin)))
    front.a.start(reads_pieces, front.b.addr, port, w.between(8_000_000, 16_000_000), w.between(2.5, 4.0), tally)
    return Truth(proof=tally.read, least=1_000_000)


def preconnects(addr, port, per_second, hold):
    """Opens connections before it knows what to ask, as browsers do."""
    actors.attempts(addr, port, per_second=per_second, hold=hold)


@healthy()
def deferred_accept(w):
    """A server is told of a connection when its first data comes; some clients say nothing for a while."""
    link = w.pair()
    port, tally, patience = w.port(), actors.Tally(), w.between(1, 3)
    w.serve(link.b, actors.server, port, actors.answers(),
            setup=lambda sock: sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, patience))
    link.a.start(actors.clients, link.b.addr, port, count=3, per_second=w.between(3, 8), tally=tally)
    link.a.start(preconnects, link.b.addr, port, w.between(1.0, 3.0), w.between(4.0, 9.0))
    return Truth(proof=tally.read, least=10)


@healthy()
def lone_bulk(w):
    """An upload fills the deep buffer of its own uplink, and nobody else is there."""
    rate = w.between(400_000, 1_500_000)
    link, _ = w.far(Way(delay=w.between(0.005, 0.02), rate=rate, queue_bytes=int(rate * w.between(0.3, 0.8))),
                    Way(delay=0.01))
    port = w.port()
    w.serve(link.b, actors.server, port, actors.sink)
    link.a.start(actors.upload, link.b.addr, port)
    return Truth(proof=lambda: link.a.counter("Tcp.OutSegs"), least=200)


def broker(addr, port):
    """Keeps what producers bring (a request of one byte) until a consumer asks (one of two)."""
    jobs = queue.Queue()

    def handle(sock):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while len(head := sock.recv(actors.HEAD.size, socket.MSG_WAITALL)) == actors.HEAD.size:
            ask, reply = actors.HEAD.unpack(head)
            if not actors.read_exactly(sock, ask):
                return
            if ask == 1:
                jobs.put(reply)
            else:
                jobs.get()
            sock.sendall(bytes(reply))
    actors.server(addr, port, handle)


def consumes(addr, port, tally):
    with contextlib.suppress(OSError), actors.connect(addr, port, 60) as sock:
        while actors.request(sock, 2, 100):
            tally.add()


@healthy()
def job_queue(w):
    """Consumers wait for jobs that come now and then; the broker answers producers at once."""
    link = w.pair()
    innocent.services(w, link.a, link.b)
    port, tally = w.port(), actors.Tally()
    w.serve(link.b, broker, port)
    link.a.start(consumes, link.b.addr, port, tally)
    link.a.start(actors.requests, link.b.addr, port, per_second=w.between(1.0, 3.0), ask=(1, 1), keep=True)
    return Truth(proof=tally.read, least=3)


def falls_silent(addresses, seconds):
    """Drops all packets of an address from some moment on, of each one at another moment."""
    begin = time.monotonic()
    ends = {socket.inet_aton(addr): begin + random.uniform(0.3, 1) * seconds for addr in addresses}

    def drop(packet):
        if packet[0] >> 4 != 4:
            return False
        return any(time.monotonic() > ends.get(packet[place:place + 4], begin + 1e6) for place in (12, 16))
    return drop


def listens_from(addresses, addr, port):
    """A connection from each address, for what the server has to say."""
    held = []
    for own in addresses:
        sock = socket.socket()
        sock.bind((own, 0))
        sock.connect((addr, port))
        held.append(sock)
    while True:
        for sock in held:
            sock.settimeout(0.01)
            with contextlib.suppress(OSError):
                sock.recv(65536)


@healthy(v6=False)
def phones_go_away(w):
    """Clients of the Internet get out of reach one after the other, without a word."""
    phones = [f"93.184.{w.between(1, 250)}.{number}" for number in range(1, w.between(4, 9))]
    link, _ = w.far(Way(delay=0.02, drop=falls_silent(phones, 20)), Way(delay=0.02, drop=falls_silent(phones, 20)))
    link.a.sh("".join(f"ip addr add {phone}/32 dev {link.dev_a};" for phone in phones))
    link.b.sh("".join(f"ip route add {phone}/32 dev {link.dev_b};" for phone in phones))
    port = w.port()
    w.serve(link.b, actors.server, port, actors.pushes(w.between(1.0, 3.0)))
    link.a.start(listens_from, phones, link.b.addr, port)
    return Truth(proof=lambda: link.b.counter("Tcp.RetransSegs"), least=3)


@healthy()
def large_buffers(w):
    """Both ends of a long path have set large buffers, and use what the path gives."""
    link, _ = w.far(Way(delay=w.between(0.02, 0.05)))
    innocent.services(w, link.a, link.b)
    port, size = w.port(), w.between(4 << 20, 8 << 20)
    w.serve(link.b, actors.server, port, actors.sink,
            setup=lambda sock: sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, size))
    link.a.start(actors.crowd, 2, actors.upload, link.b.addr, port, bytes_per_second=w.between(500_000, 1_500_000),
                 setup=lambda sock: sock.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, size))
    return Truth(proof=lambda: link.a.counter("Tcp.OutSegs"), least=200)
