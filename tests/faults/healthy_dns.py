# SPDX-License-Identifier: MIT
"""Healthy hosts, by how their names are looked up: nothing may be reported."""
import ctypes
import random
import socket
import tempfile
import threading
import zlib

from stage import actors, innocent, names
from stage.process import checked, libc
from stage.scenario import healthy, Truth

CLONE_NEWNS, MS_BIND, MS_REC, MS_PRIVATE = 0x00020000, 0x1000, 0x4000, 0x40000
PTR = 12


def caching(addr, port, upstream):
    """A resolver that asks `upstream` for names it does not remember."""
    known = {}
    lock = threading.Lock()

    def answer(sock, query, client):
        name = names.name_in(query)
        with lock:
            code = known.get(name)
        if code is None:
            code = known[name] = names.ask(upstream, name)
        sock.sendto(names.reply(query, names.SERVFAIL if code is None else code, False), client)
    with socket.socket(actors.family(addr), socket.SOCK_DGRAM) as sock:
        sock.bind((addr, port))
        for _ in range(2_000_000):
            query, client = sock.recvfrom(4096)
            threading.Thread(target=answer, args=(sock, query, client), daemon=True).start()


@healthy()
def caching_resolver(w):
    """A resolver of this host with a cache, and a few names that do not exist."""
    front = w.pair()
    back = w.join(front.b, w.net())
    rare = w.between(0.02, 0.08)
    w.serve(back.b, names.server, names.PORT, lambda name: (random.uniform(0.001, 0.03), names.NXDOMAIN if zlib.crc32(name.encode()) % 1000 < 1000 * rare else names.NOERROR, False))
    w.serve(front.b, caching, names.PORT, back.addr_b)
    tally = actors.Tally()
    front.a.start(actors.crowd, w.between(2, 5), names.lookups, front.b.addr, w.between(5, 15), "example.org", (), tally)
    return Truth(proof=tally.read, least=20)


def reverse(addr, per_second, tally):
    """What a web server or a firewall's log does with each address it meets."""
    for _ in actors.ticks(per_second):
        octets = ".".join(str(random.randint(1, 250)) for _ in range(4))
        names.ask(addr, f"{octets}.in-addr.arpa", kind=PTR)
        tally.add()


@healthy()
def reverse_lookups(w):
    """Addresses are looked up, most of which have no name."""
    link = w.pair()
    innocent.services(w, link.a, link.b)
    w.serve(link.b, names.server, names.PORT, lambda _: (0.002, names.NXDOMAIN if random.random() < 0.8 else names.NOERROR, False))
    tally = actors.Tally()
    link.a.start(reverse, link.b.addr, w.between(5, 30), tally)
    return Truth(proof=tally.read, least=20)


def both_families(addr, per_second, tally):
    """A and AAAA at once from one socket, as resolvers of clients with both do."""
    for _ in actors.ticks(per_second):
        name = names.host("example.net")
        with socket.socket(actors.family(addr), socket.SOCK_DGRAM) as sock:
            sock.settimeout(2)
            sock.connect((addr, names.PORT))
            for kind in (names.A, names.AAAA):
                sock.send(names.question(name, kind))
            for _ in range(2):
                sock.recv(4096)
        tally.add()


@healthy()
def happy_eyeballs(w):
    """Each name is asked for twice, and the AAAA answers are empty."""
    link = w.pair()
    innocent.services(w, link.a, link.b)
    w.serve(link.b, names.server, names.PORT, names.always())
    tally = actors.Tally()
    link.a.start(both_families, link.b.addr, w.between(5, 25), tally)
    return Truth(proof=tally.read, least=20)


@healthy()
def lost_answer(w):
    """One question of many gets no answer, and is asked again."""
    link = w.pair()
    innocent.services(w, link.a, link.b)
    w.serve(link.b, names.server, names.PORT, lambda _: None if random.random() < 0.008 else (random.uniform(0, 0.02), names.NOERROR, False))
    tally = actors.Tally()
    link.a.start(actors.crowd, w.between(2, 4), names.lookups, link.b.addr, w.between(8, 15), "example.org", (), tally)
    return Truth(proof=tally.read, least=20)


@healthy()
def long_answer_at_times(w):
    """Now and then an answer is too long for a datagram."""
    link = w.pair()
    innocent.services(w, link.a, link.b)
    w.serve(link.b, names.server, names.PORT, lambda _: (0.001, names.NOERROR, random.random() < 0.05))
    tally = actors.Tally()
    link.a.start(actors.crowd, w.between(2, 4), names.lookups, link.b.addr, w.between(5, 15), "example.org", (), tally)
    return Truth(proof=tally.read, least=20)


def use_resolver(addr):
    """From now on the C library of this process asks that server."""
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
        file.write(f"nameserver {addr}\noptions timeout:1\n")
        file.flush()
        checked(libc.unshare(CLONE_NEWNS), "unshare")
        checked(libc.mount(b"none", b"/", None, ctypes.c_ulong(MS_REC | MS_PRIVATE), None), "mount")
        checked(libc.mount(file.name.encode(), b"/etc/resolv.conf", None, ctypes.c_ulong(MS_BIND), None), "mount")


def resolves(server, port, per_second, connects, tally):
    """getaddrinfo() gets addresses of both families, and tries with datagram sockets which of them would do."""
    use_resolver(server)
    for _ in actors.ticks(per_second):
        name = names.host("example.com")
        if connects:
            with socket.create_connection((name, port), 2) as sock:
                actors.request(sock, 50, 500)
        else:
            socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
        tally.add()


@healthy()
def one_family_only(w):
    """Names have addresses of both families, on a host that has a way to one of them only."""
    link = w.pair()
    innocent.services(w, link.a, link.b)
    port = w.port()
    w.serve(link.b, names.server, names.PORT, names.always(),
            {names.A: "203.0.113.9", names.AAAA: link.b.addr} if w.v6 else {names.A: link.b.addr, names.AAAA: "2001:db8:9::1"})
    w.serve(link.b, actors.server, port, actors.answers())
    tally = actors.Tally()
    link.a.start(resolves, link.b.addr, port, w.between(3, 15), w.pick(True, False), tally)
    return Truth(proof=tally.read, least=10)
