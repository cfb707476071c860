# SPDX-License-Identifier: MIT
"""What happens to packets on the way, beyond this host's sight."""
import random
import time

from stage import actors, innocent
from stage.scenario import fault, grows, Truth
from stage.wire import Way, is_syn, is_synack, tcp_of

HERE = ("firewall-drop", "local-drop", "listen-overflow", "qdisc-drop")


def traffic(w, link, low=150_000, high=600_000):
    """Traffic on a far path: uploads at a rate and requests; the uploader."""
    innocent.services(w, link.a, link.b)
    port = w.port()
    w.serve(link.b, actors.server, port, actors.sink)
    cc = w.pick("cubic", "bbr", "reno")
    return link.a.start(actors.crowd, w.between(2, 4), actors.upload, link.b.addr, port, piece=32768,
                        bytes_per_second=w.between(low, high), setup=lambda s: actors.set_congestion(s, cc))


@fault("packet-loss", forbidden=HERE, short=True)
def random_loss(w):
    """A few percent of the packets are lost on the path."""
    link, _ = w.far(Way(delay=w.between(0.005, 0.05), loss=w.between(0.03, 0.07)))
    return Truth(None, hurts=traffic(w, link), proof=grows(link.a, "Tcp.RetransSegs"))


def bursts(every, length):
    """Loses everything for a moment, again and again."""
    return lambda packet: time.monotonic() % every < length


@fault("packet-loss", forbidden=(*HERE, "peer-dead", "app-latency"))
def burst_loss(w):
    """The path loses everything for a moment, again and again."""
    way = Way(delay=w.between(0.01, 0.04), drop=bursts(w.between(1.2, 2.2), w.between(0.08, 0.2)))
    link, _ = w.far(way)
    return Truth(None, hurts=traffic(w, link), proof=grows(link.a, "Tcp.RetransSegs"))


@fault("packet-loss", forbidden=(*HERE, "app-latency"))
def tail_loss(w):
    """The last segment of answers is lost often: only timers notice."""
    share = w.between(0.2, 0.4)
    def short_one(packet):
        tcp = tcp_of(packet)
        return bool(tcp and 0 < tcp[1] < 1000 and random.random() < share)
    link, _ = w.far(Way(delay=w.between(0.01, 0.03)), Way(delay=0.02, drop=short_one))
    port = w.port()
    service = w.serve(link.b, actors.server, port, actors.answers())
    link.a.start(actors.clients, link.b.addr, port, count=4, keep=True, per_second=8, reply=(3000, 9000))
    return Truth(None, hurts=service, proof=grows(link.b, "Tcp.RetransSegs"))


@fault("syn-loss", also=("connect-timeout",), forbidden=(*HERE, "synack-loss", "packet-loss", "app-latency"))
def syns_lost(w):
    """The path loses most SYNs; established connections are fine."""
    share = w.between(0.45, 0.7)
    link, _ = w.far(Way(delay=w.between(0.005, 0.03), drop=lambda p: is_syn(p) and random.random() < share),
                    Way(delay=0.01))
    return handshakes(w, link)


@fault("synack-loss", also=("connect-timeout",), forbidden=(*HERE, "syn-loss", "packet-loss", "syn-flood", "app-latency"))
def synacks_lost(w):
    """The path loses most SYN-ACKs; established connections are fine."""
    share = w.between(0.45, 0.7)
    link, _ = w.far(Way(delay=w.between(0.005, 0.03)),
                    Way(delay=0.01, drop=lambda p: is_synack(p) and random.random() < share))
    return handshakes(w, link)


def handshakes(w, link):
    port = w.port()
    w.serve(link.b, actors.server, port, actors.answers())
    link.a.start(actors.clients, link.b.addr, port, count=3, keep=True)
    client = link.a.start(actors.attempts, link.b.addr, port, per_second=w.between(8, 20), timeout=8.0)
    return Truth([None, client], hurts=client, proof=grows(link.a, "TcpExt.TCPSynRetrans"))


@fault("connect-timeout", "syn-loss", forbidden=(*HERE, "packet-loss", "host-unreachable", "neigh-failure"))
def silent_service(w):
    """A firewall far away swallows everything for one port."""
    port = w.port()
    def to_port(packet):
        start = 40 if packet[0] >> 4 == 6 else 20
        return bool(tcp_of(packet)) and packet[start + 2] << 8 | packet[start + 3] == port
    link, _ = w.far(Way(delay=w.between(0.005, 0.03), drop=to_port), Way(delay=0.01))
    innocent.services(w, link.a, link.b)
    client = link.a.start(actors.attempts, link.b.addr, port, per_second=w.between(2, 6), timeout=w.between(2.5, 4.0))
    return Truth([None, client], hurts=client, proof=grows(link.a, "TcpExt.TCPSynRetrans"))


@fault("peer-dead", also=("connect-timeout", "syn-loss"), forbidden=(*HERE, "packet-loss", "app-latency", "app-hang"))
def peer_vanishes(w):
    """The peer of established connections is gone from one moment to the next."""
    gone = actors.Tally()
    way = Way(delay=w.between(0.005, 0.03), drop=lambda p: gone.read() > 0)
    link, _ = w.far(way)
    port = w.port()
    w.serve(link.b, actors.server, port, actors.sink)
    client = link.a.start(actors.crowd, w.between(2, 5), actors.upload, link.b.addr, port, bytes_per_second=40_000, piece=4000)
    time.sleep(2)
    gone.add()
    return Truth([None, client], hurts=client, proof=grows(link.a, "TcpExt.TCPTimeouts"))


@fault("reordering", forbidden=(*HERE, "packet-loss", "duplicate-packets"))
def reordered(w):
    """The path delivers some packets late, after their successors."""
    link, _ = w.far(Way(delay=w.between(0.01, 0.03), reorder=w.between(0.05, 0.15)))
    return Truth(None, hurts=traffic(w, link, 500_000, 1_500_000), proof=grows(link.a, "TcpExt.TCPSACKReorder"), least=1)


@fault("duplicate-packets", forbidden=(*HERE, "packet-loss", "reordering"))
def duplicated(w):
    """The path delivers some packets twice."""
    link, _ = w.far(Way(delay=w.between(0.005, 0.03), duplicate=w.between(0.06, 0.2)))
    return Truth(None, hurts=traffic(w, link), proof=grows(link.a, "TcpExt.TCPDSACKRecv"))


@fault("csum-errors", also=("packet-loss",), forbidden=HERE)
def corrupted(w):
    """The path changes a byte of some packets."""
    link, _ = w.far(Way(delay=w.between(0.005, 0.02), corrupt=w.between(0.03, 0.08)))
    traffic(w, link)
    return Truth(None, place=link.b, proof=grows(link.b, "Tcp.InCsumErrors"))


@fault("network-latency", forbidden=(*HERE, "packet-loss", "app-latency", "qdisc-latency", "nagle-delack"))
def longer_way(w):
    """From one moment to the next the path takes several times as long."""
    moved = actors.Tally()
    near, far = w.between(0.004, 0.015), w.between(0.09, 0.2)
    link, _ = w.far(Way(delay=lambda: far if moved.read() else near))
    port = w.port()
    w.serve(link.b, actors.server, port, actors.answers())
    client = link.a.start(actors.clients, link.b.addr, port, count=4, keep=True)
    innocent.services(w, link.a, link.b)
    time.sleep(3)
    return Truth(None, hurts=client, watching=w.pick(moved.add, lambda: time.sleep(1) or moved.add()))
