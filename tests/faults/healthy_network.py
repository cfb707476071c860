# SPDX-License-Identifier: MIT
"""Healthy hosts, by what their network does: nothing may be reported."""
import contextlib
import os
import random
import signal
import socket
import struct
import time

from stage import actors, innocent, kernel, names
from stage.scenario import healthy, Truth


@healthy(short=True)
def path_mtu_discovery(w):
    """A narrow link in the middle, and the router says so."""
    one, two = w.routed()
    client, router, server = one.a, one.b, two.b
    mtu = w.between(1290, 1450)
    for net, dev in ((router, two.dev_a), (server, two.dev_b)):
        net.sh(f"ip link set {dev} mtu {mtu}")
    server.sh(f"ip route change default via {two.addr_a} advmss 1440")
    innocent.services(w, client, server)
    port = w.port()
    w.serve(server, actors.server, port, actors.sink)
    client.start(actors.crowd, 3, actors.upload, server.addr, port, bytes_per_second=w.between(100_000, 500_000))
    return Truth(proof=lambda: client.counter("Tcp.OutSegs"), least=200)


def probes(addr, port, per_second):
    for _ in actors.ticks(per_second):
        with contextlib.suppress(OSError):
            actors.reset(actors.connect(addr, port, 1.0))


@healthy(short=True)
def health_checks(w):
    """A load balancer connects and resets to see whether a service is there."""
    link = w.pair()
    port, _ = w.port(), innocent.services(w, link.a, link.b)
    w.serve(link.b, actors.server, port, actors.answers())
    link.a.start(actors.clients, link.b.addr, port, count=2, per_second=10)
    link.a.start(actors.crowd, w.between(1, 3), probes, link.b.addr, port, w.between(1, 4))
    return Truth(proof=lambda: link.a.counter("Tcp.OutRsts"), least=5)


@healthy()
def optional_endpoint(w):
    """A process asks now and then whether an optional service is there; it is not."""
    link = w.pair()
    innocent.services(w, link.a, link.b)
    link.a.start(actors.attempts, link.b.addr, w.port(), per_second=w.between(0.15, 0.4))
    link.a.start(actors.udp_send, link.b.addr, w.port(), per_second=0.3)
    return Truth()


def strays(target, count):
    """Single packets from everywhere to anything, as the Internet sends them."""
    with kernel.raw_socket() as sock:
        for _ in actors.ticks(count):
            source = f"203.0.113.{random.randint(1, 254)}"
            port = random.randint(1, 65000)
            if random.random() < 0.7:
                packet = kernel.syn(source, target, random.randint(1024, 65000), port, random.getrandbits(32))
            else:
                packet = kernel.ipv4(source, target, 17, struct.pack("!HHHH", 5000, port, 28, 0) + bytes(20))
            with contextlib.suppress(OSError):
                sock.sendto(packet, (target, 0))


@healthy(v6=False)
def closed_to_strangers(w):
    """A firewall drops what nobody asked for."""
    link = w.pair()
    innocent.services(w, link.a, link.b)
    link.b.sh(f"ip route add 203.0.113.0/24 via {link.addr_a}; nft 'add table inet edge; add chain inet edge guard "
              "{ type filter hook input priority 0; }; add rule inet edge guard ip saddr 203.0.113.0/24 counter drop'")
    link.a.start(strays, link.b.addr, w.between(5, 30))
    return Truth()


def chatter(device, per_second):
    """LLDP, spanning tree, and multicast of protocols nobody here speaks."""
    kinds = [(b"\x01\x80\xc2\0\0\x0e", b"\x88\xcc" + bytes(60)), (b"\x01\x80\xc2\0\0\0", b"\0\x26\x42\x42\x03" + bytes(50)),
             (b"\x01\0\x5e\x7f\x11\x22", b"\x08\0" + kernel.ipv4("198.51.100.7", "239.255.17.34", 17, bytes(40))),
             (b"\xff" * 6, b"\x88\xe1" + bytes(50)), (b"\x02\0\0\0\x77\x01", b"\x08\0" + kernel.ipv4("198.51.100.7", "198.51.100.9", 17, bytes(40)))]
    with kernel.packet_socket(device) as sock:
        mac = kernel.mac_of(sock)
        for _ in actors.ticks(per_second):
            to, rest = random.choice(kinds)
            sock.send(to + mac + rest)


@healthy()
def chatty_switch(w):
    """A switch that talks: LLDP, spanning tree, foreign multicast and unicast."""
    link = w.pair()
    innocent.services(w, link.a, link.b)
    link.a.start(chatter, link.dev_a, w.between(3, 15))
    return Truth()


def instance(addr, port, live):
    """One of several that share a port; stops listening after its time and finishes what it has."""
    def setup(sock):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    with actors.listen(addr, port, 64, setup) as listener:
        listener.settimeout(0.2)
        end = time.monotonic() + live
        while time.monotonic() < end:
            with contextlib.suppress(socket.timeout):
                sock, _ = listener.accept()
                sock.settimeout(5)
                actors.handled(sock, actors.answers())


def deploy(addr, port, live):
    """Starts the next instance shortly before the last one stops."""
    for _ in actors.ticks(1 / (live - 0.7), 0):
        if os.fork() == 0:
            signal.alarm(60)
            instance(addr, port, live)
            os._exit(0)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


@healthy()
def rolling_restart(w):
    """A service is replaced instance by instance while clients use it."""
    link = w.pair()
    innocent.services(w, link.a, link.b)
    port, tally = w.port(), actors.Tally()
    w.serve(link.b, deploy, port, w.between(2.5, 4.0))
    link.a.start(actors.requests, link.b.addr, port, per_second=w.between(10, 40), tally=tally)
    return Truth(proof=tally.read, least=20)


@healthy()
def many_namespaces(w):
    """A host with many containers, a little traffic in each."""
    hub = w.net()
    ports = {}
    for _ in range(w.between(20, 35)):
        link = w.join(w.net(), hub)
        port = ports[link] = w.port()
        w.serve(hub, actors.server, port, actors.answers(), addr=link.addr_b)
        link.a.start(actors.requests, link.addr_b, port, per_second=2, reply=(100, 3000))
    return Truth()


@healthy()
def busy_router(w):
    """A router with a firewall that keeps track of connections, all of them welcome."""
    one, two = w.routed()
    one.b.sh("nft 'add table inet edge; add chain inet edge f { type filter hook forward priority 0; policy drop; };"
             " add rule inet edge f ct state established,related accept; add rule inet edge f ct state new counter accept'")
    port, tally = w.port(), actors.Tally()
    w.serve(two.b, actors.server, port, actors.answers())
    one.a.start(actors.clients, two.b.addr, port, count=4, per_second=30, tally=tally)
    return Truth(proof=tally.read, least=100)


def tries_both(absent, addr, port, per_second):
    """IPv6 first, then IPv4, as clients do on hosts without IPv6."""
    for _ in actors.ticks(per_second):
        for target in (absent, addr):
            try:
                with actors.connect(target, port, 2.0) as sock:
                    actors.request(sock, 50, 500)
                break
            except OSError:
                pass


@healthy(v6=False)
def no_ipv6_here(w):
    """Clients try IPv6 first on a host that has none, and fall back."""
    link = w.pair()
    innocent.services(w, link.a, link.b)
    port = w.port()
    w.serve(link.b, actors.server, port, actors.answers())
    link.a.start(tries_both, "2001:db8:7::1", link.b.addr, port, w.between(3, 15))
    return Truth(proof=lambda: link.a.counter("Tcp.ActiveOpens"), least=10)


@healthy()
def fair_shaper(w):
    """A shaper with room enough, and traffic below its rate."""
    link = w.pair()
    link.a.sh(f"tc qdisc add dev {link.dev_a} root tbf rate {w.between(40, 90)}mbit burst 64kb limit 400kb")
    innocent.services(w, link.a, link.b)
    port = w.port()
    w.serve(link.b, actors.server, port, actors.sink)
    link.a.start(actors.upload, link.b.addr, port, bytes_per_second=w.between(200_000, 1_500_000))
    return Truth(proof=lambda: link.a.counter("Tcp.OutSegs"), least=100)


@healthy()
def ordinary_names(w):
    """A name server with quick answers, some slower ones, and a few names that do not exist."""
    link = w.pair()
    def behave(name):
        delay = random.choice([0.001, 0.002, 0.005, 0.03, 0.08])
        return delay, names.NXDOMAIN if random.random() < 0.05 else names.NOERROR, False
    w.serve(link.b, names.server, names.PORT, behave)
    tally = actors.Tally()
    link.a.start(actors.crowd, w.between(2, 5), names.lookups, link.b.addr, w.between(5, 15), "example.org", (), tally)
    return Truth(proof=tally.read, least=20)
