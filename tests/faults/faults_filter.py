# SPDX-License-Identifier: MIT
"""Firewalls, programs and tables that take packets away on this host."""
import socket
import struct
import time

from stage import actors, innocent, kernel
from stage.scenario import fault, grows, Skip, Truth

NETLINK_NETFILTER = 12
NOT_FILTERS = ("packet-loss", "listen-overflow", "connect-timeout", "local-drop")


def nft(net, hook, rule):
    net.sh(f"nft 'add table inet edge; add chain inet edge guard {{ type filter hook {hook} priority 0; }};"
           f" add rule inet edge guard {rule}'")


def refused_service(w, link, rule, hook="input", net=None):
    """Clients of a port that a firewall is against: (client, port)."""
    port = w.port()
    w.serve(link.b, actors.server, port, actors.answers())
    nft(net or link.b, hook, f"tcp dport {port} {rule}")
    return link.a.start(actors.attempts, link.b.addr, port, per_second=w.between(3, 15), timeout=4.0), port


@fault("firewall-drop", forbidden=NOT_FILTERS, short=True)
def firewall_drops_port(w):
    """The server's firewall drops what goes to its port."""
    link = w.pair()
    innocent.services(w, link.a, link.b)
    client, _ = refused_service(w, link, "counter drop")
    return Truth(None, place=link.b, hurts=client, proof=grows(link.a, "TcpExt.TCPSynRetrans"))


@fault("firewall-drop", forbidden=(*NOT_FILTERS, "no-route"))
def firewall_drops_output(w):
    """The client's own firewall drops what it sends."""
    link = w.pair()
    innocent.services(w, link.a, link.b)
    client, _ = refused_service(w, link, "drop", "output", link.a)
    return Truth(None, place=link.a, hurts=client)


@fault("firewall-drop", forbidden=NOT_FILTERS)
def router_drops(w):
    """A router's firewall drops what it should forward."""
    one, two = w.routed()
    innocent.services(w, one.a, two.b)
    port = w.port()
    w.serve(two.b, actors.server, port, actors.answers())
    nft(one.b, "forward", f"tcp dport {port} counter drop")
    client = one.a.start(actors.attempts, two.b.addr, port, per_second=w.between(3, 12), timeout=4.0)
    return Truth(None, place=one.b, hurts=client, proof=grows(one.a, "TcpExt.TCPSynRetrans"))


@fault("firewall-drop", forbidden=("packet-loss", "local-drop", "listen-overflow"))
def firewall_drops_some(w):
    """A rule drops a few percent of everything, among it data on its way."""
    link = w.pair()
    innocent.services(w, link.a, link.b)
    port = w.port()
    w.serve(link.b, actors.server, port, actors.sink)
    sender = link.a.start(actors.crowd, 3, actors.upload, link.b.addr, port, bytes_per_second=w.between(300_000, 900_000))
    time.sleep(0.5)
    nft(link.b, "input", f"meta l4proto tcp numgen random mod 100 < {w.between(3, 8)} counter drop")
    return Truth(None, place=link.b, hurts=sender, proof=grows(link.a, "Tcp.RetransSegs"))


@fault("firewall-reject", forbidden=("conn-refused", "packet-loss", "rst-storm", "host-unreachable"))
def firewall_rejects(w):
    """A firewall answers for a port that is open."""
    link = w.pair()
    innocent.services(w, link.a, link.b)
    refused_service(w, link, "counter reject with " + w.pick("tcp reset", "icmpx port-unreachable", "icmpx admin-prohibited"))
    return Truth(None, place=link.b, proof=grows(link.a, "Tcp.AttemptFails"))


def entry(number):
    """A ctnetlink message: one established connection between two strangers."""
    def attribute(kind, body, nested=False):
        return struct.pack("HH", 4 + len(body), kind | 0x8000 * nested) + body + bytes(-len(body) % 4)
    def way(kind, source, target, port, target_port):
        ip = attribute(1, attribute(1, source) + attribute(2, target), True)
        ports = attribute(2, attribute(1, b"\x06") + attribute(2, struct.pack("!H", port))
                          + attribute(3, struct.pack("!H", target_port)), True)
        return attribute(kind, ip + ports, True)
    source, target = struct.pack("!I", 0xC6120000 + (number >> 15)), bytes((203, 0, 113, 9))
    port = 1024 + (number & 0x7FFF)
    established = attribute(4, attribute(1, attribute(1, b"\x03"), True), True)
    body = (struct.pack("BBH", socket.AF_INET, 0, 0) + way(1, source, target, port, 443) + way(2, target, source, 443, port)
            + attribute(3, struct.pack("!I", 0xE)) + attribute(7, struct.pack("!I", 900)) + established)
    return struct.pack("IHHII", 16 + len(body), 1 << 8, 0x401, 0, 0) + body


def fill_connection_table(count):
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1_000_000)
        for first in range(0, count, 200):
            sock.send(b"".join(entry(number) for number in range(first, min(count, first + 200))))


@fault("conntrack-full", forbidden=("firewall-drop", *NOT_FILTERS))
def connection_table_full(w):
    """The table of a router is full of established connections: new ones are dropped."""
    with open("/proc/sys/net/netfilter/nf_conntrack_max", encoding="ascii") as file:
        limit = int(file.read())
    if limit > 300_000:
        raise Skip(f"it takes too many entries to fill a table of {limit}")
    one, two = w.routed()
    nft(one.b, "forward", "ct state new accept")
    port = w.port()
    w.serve(two.b, actors.server, port, actors.answers())
    one.b.start(fill_connection_table, limit + 2000, name="nat-filler")
    client = one.a.start(actors.attempts, two.b.addr, port, per_second=w.between(5, 15), timeout=4.0)
    return Truth(None, place=one.b, hurts=client, proof=grows(one.a, "TcpExt.TCPSynRetrans"))


def bulk_victim(w, link):
    """Uploads and requests towards link.b; the uploader."""
    innocent.services(w, link.a, link.b)
    port = w.port()
    w.serve(link.b, actors.server, port, actors.sink)
    return link.a.start(actors.crowd, 3, actors.upload, link.b.addr, port, piece=8192,
                        bytes_per_second=w.between(200_000, 800_000))


def attach_xdp(w, link, name, rare):
    path = kernel.compile_program(w, "xdp", name, kernel.sometimes(w.between(30, 90), rare, 2))
    link.b.sh(f"ip link set {link.dev_b} {w.pick('xdp', 'xdpgeneric')} obj {path} sec xdp")


@fault("xdp-drop", forbidden=("packet-loss", "local-drop", "firewall-drop"))
def xdp_drops(w):
    """An XDP program drops some percent of what arrives."""
    link = w.pair()
    sender = bulk_victim(w, link)
    attach_xdp(w, link, "ddos_guard", 1)
    return Truth(None, place=link.b, device=link.dev_b, hurts=sender, proof=grows(link.a, "Tcp.RetransSegs"))


@fault("xdp-exception", forbidden=("packet-loss", "local-drop", "firewall-drop"))
def xdp_fails(w):
    """An XDP program ends with an error for some packets."""
    link = w.pair()
    sender = bulk_victim(w, link)
    attach_xdp(w, link, "lb_steer", 0)
    return Truth(None, place=link.b, device=link.dev_b, hurts=sender, proof=grows(link.a, "Tcp.RetransSegs"))


@fault("tc-drop", forbidden=("packet-loss", "local-drop", "qdisc-drop", "firewall-drop"))
def tc_filter_drops(w):
    """A tc program drops some percent of what arrives or leaves."""
    link = w.pair()
    sender = bulk_victim(w, link)
    path = kernel.compile_program(w, "tc", "policer", kernel.sometimes(w.between(60, 150), 2, 0))
    side, dev, way = w.pick((link.b, link.dev_b, "ingress"), (link.a, link.dev_a, "egress"))
    side.sh(f"tc qdisc add dev {dev} clsact; tc filter add dev {dev} {way} bpf da obj {path} sec tc")
    return Truth(None, place=side, device=dev, hurts=sender)


def confined(folder, work, *args, **kwargs):
    kernel.join_cgroup(folder)
    work(*args, **kwargs)


@fault("cgroup-drop", forbidden=("firewall-drop", "packet-loss", "connect-timeout", "no-route"))
def cgroup_refuses(w):
    """A program of a cgroup refuses part of what its processes send."""
    link = w.pair()
    innocent.services(w, link.a, link.b)
    folder = kernel.make_cgroup(w, kernel.cgroup2())
    path = kernel.compile_program(w, "cgroup_skb/egress", "egress_policy", kernel.sometimes(w.between(200, 500), 0, 1))
    kernel.attach_to_cgroup(folder, path)
    port = w.port()
    w.serve(link.b, actors.udp_receive, port)
    victim = link.a.start(confined, folder, actors.udp_send, link.b.addr, port, per_second=w.between(60, 150))
    return Truth([victim, None], place=link.a)


def strict_listener(addr, port, handle, hops):
    def setup(sock):
        if ":" in addr:
            sock.setsockopt(socket.IPPROTO_IPV6, 73, hops)  # IPV6_MINHOPCOUNT
        else:
            sock.setsockopt(socket.IPPROTO_IP, 21, hops)    # IP_MINTTL
    actors.server(addr, port, handle, setup=setup)


@fault("local-drop", forbidden=("packet-loss", "firewall-drop", "listen-overflow", "connect-timeout"))
def too_many_hops(w):
    """A service accepts packets only from nearby (TTL security), and its clients send with the usual TTL."""
    link = w.pair()
    innocent.services(w, link.a, link.b)
    port = w.port()
    w.serve(link.b, strict_listener, port, actors.answers(), 255)
    client = link.a.start(actors.attempts, link.b.addr, port, per_second=w.between(4, 12), timeout=4.0)
    return Truth(None, place=link.b, hurts=client, proof=grows(link.a, "TcpExt.TCPSynRetrans"))
