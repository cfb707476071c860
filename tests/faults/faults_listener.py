# SPDX-License-Identifier: MIT
"""Servers that do not take what comes: full queues, no descriptors, floods."""
import resource
import signal

from stage import actors, innocent
from stage.scenario import fault, grows, Truth


@fault("listen-overflow", forbidden=("syn-flood", "packet-loss", "firewall-drop", "connect-timeout"), short=True)
def slow_accept(w):
    """A server takes one connection in a while, its clients come faster."""
    link = w.pair()
    innocent.services(w, link.a, link.b)
    port = w.port()
    guilty = w.serve(link.b, actors.server, port, actors.answers(), backlog=w.between(2, 24), pause=w.between(0.3, 0.9))
    link.a.start(actors.attempts, link.b.addr, port, per_second=w.between(12, 40), hold=0.5)
    return Truth(guilty, place=link.b, proof=grows(link.b, "TcpExt.ListenOverflows"))


@fault("app-hang", "listen-overflow", forbidden=("syn-flood", "packet-loss", "firewall-drop", "close-wait-leak"), short=True)
def stopped_server(w):
    """A server is stopped with SIGSTOP; its queue fills."""
    link = w.pair()
    innocent.services(w, link.a, link.b)
    port = w.port()
    guilty = w.serve(link.b, actors.server, port, actors.answers(), backlog=w.between(4, 40))
    guilty.signal(signal.SIGSTOP)
    link.a.start(actors.attempts, link.b.addr, port, per_second=w.between(15, 40), hold=0.5)
    return Truth(guilty, place=link.b, proof=grows(link.b, "TcpExt.ListenOverflows"))


def hoard(addr, port, limit):
    """Keeps every connection, and may have only so many descriptors."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    held = []
    with actors.listen(addr, port, 8) as listener:
        for _ in actors.ticks(200):
            try:
                held.append(listener.accept())
            except OSError:
                pass


@fault("fd-exhaustion", also=("listen-overflow",), forbidden=("syn-flood", "packet-loss"), short=True)
def no_descriptors(w):
    """A server leaks descriptors until accept() fails."""
    link = w.pair()
    innocent.services(w, link.a, link.b)
    port = w.port()
    guilty = w.serve(link.b, hoard, port, w.between(40, 120))
    link.a.start(actors.attempts, link.b.addr, port, per_second=60, hold=60)
    return Truth(guilty, place=link.b, proof=grows(link.b, "TcpExt.ListenOverflows"))
