# SPDX-License-Identifier: MIT
"""Addresses on the link: none answers, or two do, or there are too many."""
import ipaddress
import socket
import struct
import time

from stage import actors, innocent, kernel
from stage.scenario import ANYONE, fault, grows, Truth


@fault("neigh-failure", also=("host-unreachable",), forbidden=("packet-loss", "firewall-drop", "connect-timeout", "no-route"), short=True)
def nobody_there(w):
    """A process connects to an address of its own subnet that nobody has."""
    link = w.pair()
    innocent.services(w, link.a, link.b)
    absent = str(ipaddress.ip_address(link.addr_b) + w.between(1, 4))
    w.addresses.add(absent)
    guilty = link.a.start(actors.attempts, absent, w.port(), per_second=w.between(1, 4), timeout=6.0)
    time.sleep(3)
    return Truth([guilty, None], place=link.a, device=link.dev_a)


@fault("neigh-failure", also=("host-unreachable", "peer-dead"), forbidden=("packet-loss", "firewall-drop", "app-latency"), v6=False)
def stopped_answering(w):
    """A host stops answering ARP in the middle of conversations."""
    link = w.pair()
    port = w.port()
    w.serve(link.b, actors.server, port, actors.answers())
    client = link.a.start(actors.clients, link.b.addr, port, count=3, keep=True)
    time.sleep(1)
    link.b.sh(f"ip link set {link.dev_b} arp off")
    link.a.sh(f"ip neigh flush dev {link.dev_a}")
    time.sleep(4)
    return Truth([client, None], place=link.a, device=link.dev_a, hurts=client)


def announce(device, addr, every):
    """Says again and again that the address is here, as the owner of a shared address does."""
    with kernel.packet_socket(device) as sock:
        mac, ip = kernel.mac_of(sock), socket.inet_aton(addr)
        body = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + mac + ip + b"\xff" * 6 + ip
        for _ in actors.ticks(1 / every):
            sock.send(b"\xff" * 6 + mac + struct.pack("!H", 0x0806) + body)


@fault("duplicate-ip", forbidden=("conn-refused", "rst-storm", "packet-loss", "listen-overflow"), v6=False)
def split_brain(w):
    """Two hosts both think that a shared address is theirs."""
    _, (client, one, two) = w.lan(3)
    innocent.services(w, client, one)
    shared = str(ipaddress.ip_address(client.addr) + 100)
    w.addresses.add(shared)
    port = w.port()
    for host in (one, two):
        host.sh(f"ip addr add {shared}/24 dev {host.dev}")
        host.start(announce, host.dev, shared, w.between(0.6, 1.5))
    w.serve(one, actors.server, port, actors.answers(), addr=shared)
    client.start(actors.clients, shared, port, count=4, keep=True, per_second=10)
    return Truth(None, place=client, proof=grows(two, "Tcp.OutRsts"))


def ask_everybody(network, count):
    """What waits for an answer fills a socket's send buffer: hence many sockets."""
    each = 100
    socks = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) for _ in range(count // each)]
    for _ in actors.ticks(1):
        for number in range(count):
            try:
                socks[number // each].sendto(b"?", (str(network + number), 9))
            except OSError:
                pass


@fault("neigh-table-full", also=("neigh-failure",), v6=False, heavy=True)
def crowded_table(w):
    """One process talks to more neighbours than the table of the whole host takes."""
    link = w.pair()
    innocent.services(w, link.a, link.b)
    link.a.sh(f"ip addr add 10.213.0.1/16 dev {link.dev_a}")
    link.a.start(ask_everybody, ipaddress.ip_address("10.213.1.0"), 3000)
    time.sleep(2)
    return Truth(ANYONE)
