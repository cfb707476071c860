# SPDX-License-Identifier: MIT
"""How connections end: not at all, too soon, or too many at once."""
import contextlib
import resource
import time

from stage import actors, innocent
from stage.process import until
from stage.scenario import fault, grows, Skip, Truth

MANY = 60_000  # open files of one process
NOT_ENDS = ("packet-loss", "firewall-drop", "listen-overflow", "conn-refused")


def aborts(sock):
    """Answers, and resets the connection in the middle of the answer."""
    sock.recv(65536)
    sock.sendall(bytes(4000))
    time.sleep(0.02)
    actors.reset(sock)


@fault("rst-storm", forbidden=NOT_ENDS)
def server_aborts(w):
    """A server resets connections in the middle of its answers."""
    link = w.pair()
    innocent.services(w, link.a, link.b)
    port = w.port()
    guilty = w.serve(link.b, actors.server, port, aborts)
    link.a.start(actors.clients, link.b.addr, port, count=3, per_second=w.between(5, 12), reply=(9000, 20000))
    return Truth(guilty, place=link.b, proof=grows(link.b, "Tcp.OutRsts"))


@fault("rst-storm", forbidden=NOT_ENDS)
def client_aborts(w):
    """A client resets connections that carried data."""
    link = w.pair()
    innocent.services(w, link.a, link.b)
    port = w.port()
    w.serve(link.b, actors.server, port, actors.answers())
    guilty = link.a.start(actors.clients, link.b.addr, port, count=3, per_second=w.between(5, 12), close=actors.reset)
    return Truth(guilty, place=link.a, proof=grows(link.a, "Tcp.OutRsts"))


@fault("close-wait-leak", also=("fin-wait2-growth",), forbidden=(*NOT_ENDS, "time-wait-growth"), short=True)
def never_closes(w):
    """A server does not close what its clients closed."""
    link = w.pair()
    innocent.services(w, link.a, link.b)
    port = w.port()
    guilty = w.serve(link.b, actors.server, port, actors.keeps)
    link.a.start(actors.attempts, link.b.addr, port, per_second=w.between(8, 30))
    time.sleep(3)
    return Truth(guilty, place=link.b)


@fault("time-wait-growth", "port-exhaustion", forbidden=("close-wait-leak", *NOT_ENDS), severities=("info", "warning", "critical"))
def churn(w):
    """A client closes hundreds of connections per second first, and has few ports."""
    link = w.pair()
    innocent.services(w, link.a, link.b)
    link.a.sysctl("net.ipv4.ip_local_port_range", "20000 32000")
    link.a.sysctl("net.ipv4.tcp_tw_reuse", 0)
    port = w.port()
    w.serve(link.b, actors.quick_server, port, actors.answers())
    guilty = link.a.start(actors.clients, link.b.addr, port, count=3, per_second=w.between(120, 170), ask=(10, 100), reply=(10, 400))
    return Truth(guilty)


@fault("tw-overflow", forbidden=("rst-storm", *NOT_ENDS))
def full_buckets(w):
    """More connections wait in TIME_WAIT than the limit of the namespace allows."""
    link = w.pair()
    innocent.services(w, link.a, link.b)
    link.a.sysctl("net.ipv4.tcp_max_tw_buckets", w.between(200, 900))
    port = w.port()
    w.serve(link.b, actors.quick_server, port, actors.answers())
    guilty = link.a.start(actors.clients, link.b.addr, port, count=3, per_second=w.between(80, 150), ask=(10, 100), reply=(10, 400))
    return Truth(guilty, place=link.a, proof=grows(link.a, "TcpExt.TCPTimeWaitOverflow"))


@fault("port-exhaustion", forbidden=("connect-timeout", "no-route", *NOT_ENDS), short=True)
def ports_taken(w):
    """One process holds all local ports towards a service that another one needs."""
    link = w.pair()
    innocent.services(w, link.a, link.b, rate=2)
    first, count = w.between(33000, 40000), w.between(150, 400)
    port, tally = w.port(), actors.Tally()
    w.serve(link.b, actors.server, port, actors.sink, backlog=600)
    link.a.sysctl("net.ipv4.ip_local_port_range", f"{first} {first + count - 1}")
    guilty = link.a.start(holds_all, link.b.addr, port, count, tally)
    if not until(lambda: tally.read() > count * 0.97, 10):  # what the victim closes before waits in TIME_WAIT
        raise RuntimeError("the ports are not taken")
    victim = link.a.start(actors.attempts, link.b.addr, port, per_second=8)
    return Truth(guilty, place=link.a, hurts=victim)


@fault("fin-wait2-growth", forbidden=(*NOT_ENDS, "close-wait-leak", "peer-dead"), v6=False, severities=("info", "warning", "critical"))
def peers_keep_open(w):
    """A host far away does not close what a process here closed."""
    link, other = w.stranger()
    innocent.services(w, link.a, link.b)
    client = link.a.start(actors.upload_often, other, w.port(), w.between(20, 50))
    time.sleep(4)
    return Truth([None, client], place=link.a)


def holds_all(addr, port, count, tally):
    held = []
    for _ in actors.ticks(300):
        with contextlib.suppress(OSError):
            if len(held) < count:
                held.append(actors.connect(addr, port))
                tally.add()


def leaves_with_data(sock):
    """Pours a lot and closes while most of it has not left."""
    sock.recv(65536)
    sock.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            sock.send(bytes(65536))


def stuck(held):
    time.sleep(110)
    del held


@fault("orphans", also=("zero-window", "receiver-limited", "time-wait-growth"), forbidden=(*NOT_ENDS, "peer-dead"))
def undelivered(w):
    """A server closes connections whose data the client does not take."""
    link = w.pair()
    innocent.services(w, link.a, link.b)
    port, tally, count = w.port(), actors.Tally(), w.between(40, 120)
    w.serve(link.b, actors.server, port, leaves_with_data, backlog=300)
    reader = link.a.start(actors.open_and_keep, link.b.addr, port, count, tally, first=b"all of it, please", then=stuck)
    return Truth([None, reader], ready=lambda: tally.read() >= count)


def many(addr, ports, count, tally):
    actors.limit_files(MANY)
    actors.crowd(len(ports), each, addr, ports, count // len(ports), tally)


def each(addr, ports, count, tally):
    actors.open_and_keep(addr, ports.pop(), count, tally)


@fault("too-many-connections", forbidden=(*NOT_ENDS, "fd-exhaustion", "close-wait-leak"), heavy=True)
def crowd_of_connections(w):
    """One process holds more connections than a host usually has."""
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < MANY:
        raise Skip(f"a process may not open {MANY} files here")
    link = w.pair()
    innocent.services(w, link.a, link.b)
    ports, tally = [w.port(), w.port()], actors.Tally()
    for port in ports:
        w.serve(link.b, roomy_server, port)
    guilty = link.a.start(many, link.b.addr, ports, 52_000, tally)
    return Truth(guilty, ready=lambda: tally.read() > 25_500)


def roomy_server(addr, port, limit=30_000):
    actors.limit_files(limit)
    held = []
    with actors.listen(addr, port, 4000) as listener:
        for _ in range(100_000):
            held.append(listener.accept()[0])


@fault("too-many-connections", forbidden=(*NOT_ENDS, "fd-exhaustion", "close-wait-leak"))
def files_nearly_used_up(w):
    """A server holds so many connections that its limit of open files is near; all is well so far."""
    link = w.pair()
    innocent.services(w, link.a, link.b)
    limit, tally = w.between(500, 1500), actors.Tally()
    count, port = int(limit * 0.96), w.port()
    guilty = w.serve(link.b, roomy_server, port, limit)
    link.a.start(actors.open_and_keep, link.b.addr, port, count, tally, name="pool-user")
    return Truth(guilty, place=link.b, ready=lambda: tally.read() >= count)
