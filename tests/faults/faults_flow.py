# SPDX-License-Identifier: MIT
"""What sets the pace of a connection: windows, buffers, readers; and datagrams nobody takes."""
import random
import signal
import socket
import time

from stage import actors, innocent
from stage.scenario import fault, grows, Truth
from stage.wire import Way

NOT_FLOW = ("packet-loss", "firewall-drop", "listen-overflow", "local-drop")


def never_reads(sock):
    time.sleep(110)
    sock.close()


@fault("zero-window", "receiver-limited", forbidden=(*NOT_FLOW, "peer-dead"))
def stuck_reader(w):
    """A receiver stops reading: its window closes and stays closed."""
    link = w.pair()
    innocent.services(w, link.a, link.b)
    port = w.port()
    guilty = w.serve(link.b, actors.server, port, never_reads)
    sender = link.a.start(actors.crowd, w.between(1, 3), actors.upload, link.b.addr, port)
    time.sleep(2)
    return Truth([guilty, None], hurts=w.pick(None, sender))


@fault("zero-window", forbidden=(*NOT_FLOW, "peer-dead", "app-hang"), v6=False)
def stuck_peer(w):
    """A host far away closes its window and keeps it closed."""
    link, other = w.stranger(room=w.between(20_000, 200_000))
    innocent.services(w, link.a, link.b)
    sender = link.a.start(actors.crowd, w.between(2, 4), actors.upload, other, w.port())
    time.sleep(2)
    return Truth([None, sender])


def reads_slowly(pause, piece):
    def handle(sock):
        while sock.recv(piece):
            time.sleep(pause)
    return handle


@fault("receiver-limited", "zero-window", forbidden=(*NOT_FLOW, "rcvbuf-prune", "network-latency"))
def slow_reader(w):
    """A receiver works long on each piece: its window opens and closes."""
    link = w.pair()
    innocent.services(w, link.a, link.b)
    port = w.port()
    guilty = w.serve(link.b, actors.server, port, reads_slowly(w.between(0.02, 0.06), w.between(4000, 16000)))
    link.a.start(actors.upload, link.b.addr, port)
    time.sleep(2)
    return Truth([guilty, None])


def buffer_of(option, size):
    return lambda sock: sock.setsockopt(socket.SOL_SOCKET, option, size)


@fault("bdp-limited", "receiver-limited", forbidden=(*NOT_FLOW, "zero-window", "network-latency"))
def small_window(w):
    """A receive buffer is too small for a long path; the reader is quick."""
    link, _ = w.far(Way(delay=w.between(0.02, 0.05)))
    innocent.services(w, link.a, link.b)
    port = w.port()
    guilty = w.serve(link.b, actors.server, port, actors.sink, setup=buffer_of(socket.SO_RCVBUF, w.between(8000, 24000)))
    sender = link.a.start(actors.crowd, w.between(1, 3), actors.upload, link.b.addr, port)
    time.sleep(2)
    return Truth([guilty, sender, None])


@fault("sndbuf-limited", forbidden=(*NOT_FLOW, "zero-window", "receiver-limited", "network-latency"))
def small_send_buffer(w):
    """A send buffer is too small for a long path."""
    link, _ = w.far(Way(delay=w.between(0.02, 0.05)))
    innocent.services(w, link.a, link.b)
    port = w.port()
    w.serve(link.b, actors.server, port, actors.sink)
    guilty = link.a.start(actors.crowd, w.between(1, 3), actors.upload, link.b.addr, port,
                          setup=buffer_of(socket.SO_SNDBUF, w.between(6000, 20000)))
    time.sleep(2)
    return Truth(guilty)


def many_small_pieces(addr, port):
    with actors.connect(addr, port) as sock:
        for _ in actors.ticks(100):
            for _ in range(20):
                sock.sendall(b"x" * random.randint(20, 60))


@fault("rcvbuf-prune", also=("zero-window", "receiver-limited"), forbidden=(*NOT_FLOW, "network-latency"))
def tiny_receive_buffer(w):
    """A reader with a tiny buffer gets many small segments between two looks."""
    link = w.pair()
    innocent.services(w, link.a, link.b)
    port = w.port()
    guilty = w.serve(link.b, actors.server, port, reads_slowly(w.between(0.03, 0.06), 65536),
                     setup=buffer_of(socket.SO_RCVBUF, w.between(6000, 12000)))
    link.a.start(many_small_pieces, link.b.addr, port)
    return Truth(guilty, proof=grows(link.b, "TcpExt.PruneCalled"))


@fault("udp-rcvbuf-overflow", forbidden=("packet-loss", "qdisc-drop", "local-drop", "udp-port-unreachable"), short=True)
def slow_datagram_reader(w):
    """A receiver takes longer for a datagram than the next one takes to come."""
    link = w.pair()
    innocent.services(w, link.a, link.b)
    port = w.port()
    guilty = w.serve(link.b, actors.udp_receive, port, pause=w.between(0.002, 0.01), rcvbuf=w.pick(None, 30_000, 120_000))
    link.a.start(actors.udp_send, link.b.addr, port, per_second=w.between(1000, 2500), burst=10)
    return Truth(guilty, place=link.b, proof=udp_errors(link.b, "RcvbufErrors"), least=50)


def udp_errors(net, name):
    """A proof: a counter of UDP over both families."""
    def read():
        six = [line.split() for line in net.proc("snmp6").splitlines()]
        return net.counter("Udp." + name) + sum(int(value) for key, value in six if key == "Udp6" + name)
    return read


@fault("udp-rcvbuf-overflow", "app-hang", forbidden=("packet-loss", "qdisc-drop", "local-drop", "udp-port-unreachable"))
def stopped_datagram_reader(w):
    """A receiver of datagrams is stopped."""
    link = w.pair()
    innocent.services(w, link.a, link.b)
    port = w.port()
    guilty = w.serve(link.b, actors.udp_receive, port, rcvbuf=w.between(20_000, 80_000))
    guilty.signal(signal.SIGSTOP)
    link.a.start(actors.udp_send, link.b.addr, port, per_second=w.between(100, 600))
    return Truth(guilty, place=link.b, proof=udp_errors(link.b, "RcvbufErrors"))


@fault("udp-port-unreachable", forbidden=("udp-rcvbuf-overflow", "firewall-reject", "conn-refused", "local-drop"))
def datagrams_to_nobody(w):
    """A process goes on sending datagrams to a port that nobody has."""
    link = w.pair()
    innocent.services(w, link.a, link.b)
    guilty = link.a.start(actors.udp_send, link.b.addr, w.port(), per_second=w.between(10, 60), connected=w.pick(True, False))
    return Truth(guilty, proof=udp_errors(link.b, "NoPorts"))
