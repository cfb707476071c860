# SPDX-License-Identifier: MIT
"""Ways that lead nowhere, in circles, or are too narrow."""
import random
import socket
import struct
import time

from stage import actors, innocent, kernel
from stage.scenario import fault, grows, Truth
from stage.wire import Way

NOT_ROUTES = ("packet-loss", "firewall-drop", "listen-overflow")


def elsewhere(w):
    """An address of a network that nobody here has."""
    addr = f"fd99:{w.between(1, 9999)}::7" if w.v6 else f"192.0.2.{w.between(1, 250)}"
    w.addresses.add(addr)
    return addr


@fault("no-route", forbidden=(*NOT_ROUTES, "connect-timeout", "conn-refused"))
def no_route(w):
    """A process wants to go where no route leads, or where one forbids it."""
    link = w.pair()
    innocent.services(w, link.a, link.b)
    target = elsewhere(w)
    kind = w.pick(None, "unreachable", "prohibit")
    if kind:
        link.a.sh(f"ip route add {kind} {target}")
    guilty = link.a.start(actors.attempts, target, w.port(), per_second=w.between(2, 10))
    return Truth(guilty, place=link.a)


@fault("blackhole-route", forbidden=(*NOT_ROUTES, "connect-timeout", "no-route"))
def blackhole_here(w):
    """A blackhole route of this host eats what a process needs."""
    link = w.pair()
    innocent.services(w, link.a, link.b)
    target = elsewhere(w)
    link.a.sh(f"ip route add blackhole {target}")
    guilty = link.a.start(actors.attempts, target, w.port(), per_second=w.between(2, 10))
    return Truth(guilty, place=link.a)


@fault("blackhole-route", forbidden=(*NOT_ROUTES, "connect-timeout"), v6=False)
def blackhole_on_router(w):
    """A router has a blackhole route for a service that clients need."""
    one, two = w.routed()
    port = w.port()
    w.serve(two.b, actors.server, port, actors.answers())
    innocent.services(w, one.a, one.b)
    one.b.sh(f"ip route add blackhole {two.addr_b}")
    client = one.a.start(actors.attempts, two.b.addr, port, per_second=w.between(3, 10), timeout=4.0)
    return Truth(None, place=one.b, hurts=client, proof=grows(one.a, "TcpExt.TCPSynRetrans"))


@fault("forwarding-disabled", forbidden=(*NOT_ROUTES, "connect-timeout", "no-route"), v6=False)
def forwarding_off(w):
    """Others use this host as a router, and it does not forward."""
    one, two = w.routed()
    one.b.sysctl("net.ipv4.ip_forward", 0)
    innocent.services(w, one.a, one.b)
    port = w.port()
    w.serve(two.b, actors.server, port, actors.answers())
    client = one.a.start(actors.attempts, two.b.addr, port, per_second=w.between(3, 10), timeout=4.0)
    return Truth(None, place=one.b, hurts=client, proof=grows(one.a, "TcpExt.TCPSynRetrans"))


@fault("host-unreachable", "no-route", forbidden=(*NOT_ROUTES, "connect-timeout", "neigh-failure"), v6=False)
def router_says_no(w):
    """A router has an unreachable route and says so."""
    one, _ = w.routed()
    innocent.services(w, one.a, one.b)
    target = elsewhere(w)
    one.b.sh(f"ip route add unreachable {target}")
    client = one.a.start(actors.attempts, target, w.port(), per_second=w.between(2, 6))
    return Truth([None, client], proof=grows(one.a, "Icmp.InDestUnreachs"), least=1)


def refusing_router(router, target):
    """Answers each packet for an address with ICMP host unreachable, as a router far away does."""
    def answer(packet):
        if socket.inet_ntoa(packet[16:20]) != target:
            return None
        data = packet[:28]
        head = struct.pack("!BBHI", 3, 1, 0, 0) + data
        head = head[:2] + struct.pack("!H", kernel.checksum(head)) + head[4:]
        return kernel.ipv4(router, socket.inet_ntoa(packet[12:16]), 1, head)
    return answer


@fault("host-unreachable", forbidden=(*NOT_ROUTES, "connect-timeout", "no-route", "neigh-failure"), v6=False)
def far_router_says_no(w):
    """A router beyond this host says that there is no way."""
    target = elsewhere(w)
    link, _ = w.far(Way(delay=0.01, answer=refusing_router("198.51.100.1", target)), Way(delay=0.01))
    innocent.services(w, link.a, link.b)
    link.a.sh(f"ip route add {target} via {link.addr_b} dev {link.dev_a} onlink")
    client = link.a.start(actors.attempts, target, w.port(), per_second=w.between(2, 6))
    return Truth([None, client], hurts=client, proof=grows(link.a, "Icmp.InDestUnreachs"))


def attempts_from(source, addr, port, per_second):
    for _ in actors.ticks(per_second):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
            sock.settimeout(3)
            try:
                sock.bind((source, 0))
                sock.connect((addr, port))
            except OSError:
                pass


@fault("rp-filter-drop", forbidden=(*NOT_ROUTES, "connect-timeout", "martian-source"), v6=False)
def asymmetric(w):
    """Requests come in by one device and the way back leads through another: strict reverse path filter."""
    link = w.pair()
    other = w.join(link.b, w.net())
    innocent.services(w, link.a, link.b)
    source = f"192.0.2.{w.between(1, 250)}"
    w.addresses.add(source)
    link.a.sh(f"ip addr add {source}/32 dev lo")
    link.b.sh(f"ip route add {source}/32 via {other.addr_b}")
    for scope in ("all", link.dev_b):
        link.b.sysctl(f"net.ipv4.conf.{scope}.rp_filter", 1)
    port = w.port()
    w.serve(link.b, actors.server, port, actors.answers())
    client = link.a.start(actors.crowd, 4, attempts_from, source, link.b.addr, port, w.between(2, 5))
    return Truth(None, place=link.b, device=link.dev_b, hurts=client, proof=grows(link.b, "TcpExt.IPReversePathFilter"))


def impostor(source, target, per_second):
    with kernel.raw_socket() as sock:
        for _ in actors.ticks(per_second):
            payload = struct.pack("!HHHH", random.randint(1024, 60000), 514, 108, 0) + bytes(100)
            sock.sendto(kernel.ipv4(source, target, 17, payload), (target, 0))


@fault("martian-source", forbidden=(*NOT_ROUTES, "udp-port-unreachable", "rp-filter-drop"), v6=False)
def impossible_sources(w):
    """Packets from addresses that cannot be there come in."""
    link = w.pair()
    innocent.services(w, link.a, link.b)
    source = w.pick("127.0.0.1", "127.8.1.9", "255.255.255.255", "224.3.2.1")
    link.b.sysctl(f"net.ipv4.conf.{link.dev_b}.rp_filter", 0)
    link.a.start(impostor, source, link.addr_b, w.between(20, 80))
    return Truth(None, place=link.b, device=link.dev_b)


@fault("ttl-exceeded", forbidden=(*NOT_ROUTES, "connect-timeout", "host-unreachable", "no-route"), v6=False)
def routing_loop(w):
    """Two routers send packets for a network to each other."""
    one, two = w.routed()
    client, first, second = one.a, one.b, two.b
    innocent.services(w, client, second)
    second.sysctl("net.ipv4.ip_forward", 1)
    target = elsewhere(w)
    first.sh(f"ip route add {target} via {two.addr_b}")
    second.sh(f"ip route replace {target} via {two.addr_a}")
    for router in (first, second):
        router.sysctl("net.ipv4.conf.all.send_redirects", 0)
    guilty = client.start(actors.attempts, target, w.port(), per_second=w.between(3, 8), timeout=4.0)
    return Truth(None, place=(first, second), hurts=guilty, proof=lambda: first.counter("Icmp.OutTimeExcds") + second.counter("Icmp.OutTimeExcds"))


def narrow_traffic(w, client, server):
    innocent.services(w, client, server, rate=5)
    port = w.port()
    w.serve(server, actors.server, port, actors.sink)
    return client.start(actors.crowd, w.between(2, 4), actors.upload, server.addr, port)


@fault("mtu-blackhole", also=("network-latency",), forbidden=("packet-loss", "local-drop", "firewall-drop", "peer-dead", "mtu-mismatch"))
def silent_router(w):
    """A link in the middle is narrow, and the router's word about it is filtered."""
    one, two = w.routed()
    client, router, server = one.a, one.b, two.b
    mtu = w.between(1290, 1420)
    for net, dev in ((router, two.dev_a), (server, two.dev_b)):
        net.sh(f"ip link set {dev} mtu {mtu}")
    server.sh("ip route change default via " + two.addr_a + " advmss 1440")
    word = "icmpv6 type packet-too-big" if w.v6 else "icmp type destination-unreachable"
    router.sh(f"nft 'add table inet edge; add chain inet edge o {{ type filter hook output priority 0; }}; add rule inet edge o {word} drop'")
    victim = narrow_traffic(w, client, server)
    return Truth(None, hurts=victim, proof=grows(client, "TcpExt.TCPTimeouts"), least=2)


@fault("mtu-blackhole", forbidden=("packet-loss", "local-drop", "firewall-drop", "peer-dead", "mtu-mismatch"), short=True)
def narrow_far_path(w):
    """A path far away swallows packets of full size and says nothing."""
    largest = w.between(1290, 1440)
    link, _ = w.far(Way(delay=w.between(0.005, 0.03), drop=lambda p: len(p) > largest))
    victim = narrow_traffic(w, link.a, link.b)
    return Truth(None, hurts=victim, proof=grows(link.a, "TcpExt.TCPTimeouts"), least=2)


def later_fragment(packet):
    return packet[0] >> 4 == 4 and struct.unpack_from("!H", packet, 6)[0] & 0x1FFF > 0


@fault("reassembly-failure", forbidden=("packet-loss", "udp-rcvbuf-overflow", "csum-errors"), v6=False)
def lost_fragments(w):
    """The path loses many of the fragments that are not the first."""
    share = w.between(0.4, 0.9)
    link, _ = w.far(Way(delay=0.01, drop=lambda p: later_fragment(p) and random.random() < share))
    innocent.services(w, link.a, link.b)
    link.b.sysctl("net.ipv4.ipfrag_time", w.pick(2, 3, 30))
    port = w.port()
    w.serve(link.b, actors.udp_receive, port)
    link.a.start(actors.udp_send, link.b.addr, port, per_second=w.between(30, 100), size=(3000, 8000))
    return Truth(None, place=link.b, device=link.dev_b, proof=grows(link.b, "Ip.ReasmReqds"))
