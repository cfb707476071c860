# SPDX-License-Identifier: MIT
"""What the processes of a scenario do: servers, clients, senders of datagrams.

A request says how long it is and how long the answer shall be; nothing else is agreed upon."""
import contextlib
import mmap
import random
import resource
import socket
import struct
import threading
import time

HEAD = struct.Struct("!II")
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close() resets
CHUNK = bytes(65536)


class Tally:
    """A number one process counts up and others read."""

    def __init__(self):
        self.cell = mmap.mmap(-1, 8)

    def add(self, number=1):
        struct.pack_into("Q", self.cell, 0, self.read() + number)

    def read(self):
        return struct.unpack_from("Q", self.cell, 0)[0]


def ticks(per_second, spread=0.3, seconds=110):
    """Yields at about that rate until the time is over."""
    end = time.monotonic() + seconds
    due = time.monotonic()
    while time.monotonic() < end:
        yield
        due = max(due + random.uniform(1 - spread, 1 + spread) / per_second, time.monotonic() - 0.5)
        time.sleep(max(0.0, due - time.monotonic()))


def limit_files(count):
    """How many descriptors the calling process may have, as far as it may choose."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    count = min(count, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))


def family(addr):
    return socket.AF_INET6 if ":" in addr else socket.AF_INET


def set_congestion(sock, name):
    with contextlib.suppress(OSError):  # one this kernel does not have
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, name.encode())


def connect(addr, port, timeout=5.0, setup=None):
    sock = socket.socket(family(addr), socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if setup:
            setup(sock)
        sock.settimeout(timeout)
        sock.connect((addr, port))
    except OSError:
        sock.close()
        raise
    return sock


def listen(addr, port, backlog=128, setup=None):
    sock = socket.socket(family(addr), socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if setup:
        setup(sock)
    sock.bind((addr, port))
    sock.listen(backlog)
    return sock


def read_exactly(sock, size):
    """Whether that many bytes came."""
    while size > 0:
        got = len(sock.recv(min(size, 65536)))
        if got == 0:
            return False
        size -= got
    return True


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    sock.close()


# what a server does with a connection


def answers(think=None):
    """Answers requests until the client closes; think() is how long each takes."""
    def handle(sock):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while len(head := sock.recv(HEAD.size, socket.MSG_WAITALL)) == HEAD.size:
            ask, reply = HEAD.unpack(head)
            if not read_exactly(sock, ask):
                return
            if think:
                time.sleep(think())
            sock.sendall(bytes(reply))
    return handle


def sink(sock):
    while sock.recv(65536):
        pass


def pours(bytes_per_second=None, piece=16384):
    """Sends without being asked, as fast as it can or at a rate."""
    def handle(sock):
        if bytes_per_second is None:
            while True:
                sock.sendall(CHUNK)
        for _ in ticks(bytes_per_second / piece, 0.1):
            sock.sendall(bytes(piece))
    return handle


def pushes(per_second, size=200):
    """Keeps the connection and sends small news now and then."""
    def handle(sock):
        for _ in ticks(per_second, 0.8):
            sock.sendall(bytes(size))
    return handle


def keeps(sock):
    """Never closes: the descriptor leaks when the peer is done."""
    sink(sock)
    keeps.leaked.append(sock)


keeps.leaked = []


def handled(sock, handle):
    with contextlib.suppress(OSError):
        handle(sock)
    if sock not in keeps.leaked:
        sock.close()


def server(addr, port, handle, backlog=128, pause=0.0, setup=None):
    """One thread per connection; `pause` seconds between two accepts."""
    with listen(addr, port, backlog, setup) as listener:
        for _ in range(2_000_000):
            sock, _ = listener.accept()
            threading.Thread(target=handled, args=(sock, handle), daemon=True).start()
            if pause:
                time.sleep(pause)


def quick_server(addr, port, handle, backlog=1024):
    """One connection after the other: for many short ones."""
    with listen(addr, port, backlog) as listener:
        for _ in range(2_000_000):
            sock, _ = listener.accept()
            handled(sock, handle)


# clients


def request(sock, ask, reply):
    sock.sendall(HEAD.pack(ask, reply) + bytes(ask))
    return read_exactly(sock, reply)


def requests(addr, port, per_second=20, ask=(50, 800), reply=(200, 8000), keep=False, close=None, timeout=5.0,
             tally=None, setup=None):
    """Requests at a rate, each on a connection of its own or all on one that is made anew when it ends."""
    sock = None
    for _ in ticks(per_second):
        try:
            sock = sock or connect(addr, port, timeout, setup)
            if request(sock, random.randint(*ask), random.randint(*reply)) and tally:
                tally.add()
            if keep:
                continue
            (close or socket.socket.close)(sock)
        except OSError:
            if sock:
                sock.close()
        sock = None


def crowd(count, work, *args, **kwargs):
    """The same work by several threads of one process."""
    threads = [threading.Thread(target=work, args=args, kwargs=kwargs, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
        time.sleep(random.uniform(0, 0.02))
    for thread in threads:
        thread.join()


def clients(addr, port, count=4, **kwargs):
    crowd(count, requests, addr, port, **kwargs)


def attempts(addr, port, per_second=10, timeout=2.0, hold=0.0, tally=None):
    """Connects and says nothing; each attempt on a thread, so that one that hangs stops no other."""
    def attempt():
        with contextlib.suppress(OSError):
            with connect(addr, port, timeout):
                if tally:
                    tally.add()
                time.sleep(hold)
    for _ in ticks(per_second):
        threading.Thread(target=attempt, daemon=True).start()


def upload(addr, port, bytes_per_second=None, piece=65536, setup=None, nodelay=True):
    """Sends on one connection, as fast as it can or at a rate."""
    def prepare(sock):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, int(nodelay))
        if setup:
            setup(sock)
    for _ in ticks(1):  # a new connection if one ends
        with contextlib.suppress(OSError):
            with connect(addr, port, 10.0, prepare) as sock:
                sock.settimeout(100)
                if bytes_per_second is None:
                    while True:
                        sock.sendall(CHUNK)
                for _ in ticks(bytes_per_second / piece, 0.1):
                    sock.sendall(bytes(piece))


def upload_often(addr, port, per_second):
    """Small uploads, each on a connection of its own."""
    for _ in ticks(per_second):
        with contextlib.suppress(OSError), connect(addr, port) as sock:
            sock.sendall(bytes(random.randint(100, 2000)))


def download(addr, port, setup=None, pause=0.0, piece=65536, tally=None):
    """Reads what a server pours; a pause after each piece makes it a slow reader."""
    for _ in ticks(1):
        with contextlib.suppress(OSError):
            with connect(addr, port, 10.0, setup) as sock:
                sock.settimeout(100)
                while got := sock.recv(piece):
                    if tally:
                        tally.add(len(got))
                    if pause:
                        time.sleep(pause)


def open_and_keep(addr, port, count, tally=None, first=b"", then=None):
    """Opens that many connections, keeps them, and does `then` with them."""
    limit_files(100_000)
    held = []
    for _ in range(count):
        sock = connect(addr, port)
        if first:
            sock.sendall(first)
        held.append(sock)
        if tally:
            tally.add()
    if then:
        then(held)
    time.sleep(110)


# datagrams


def udp_send(addr, port, per_second, size=(60, 400), burst=1, tally=None, connected=False):
    with socket.socket(family(addr), socket.SOCK_DGRAM) as sock:
        if connected:
            sock.connect((addr, port))
        for _ in ticks(per_second / burst):
            for _ in range(burst):
                with contextlib.suppress(OSError):
                    data = bytes(random.randint(*size))
                    _ = sock.send(data) if connected else sock.sendto(data, (addr, port))
                    if tally:
                        tally.add()


def udp_receive(addr, port, pause=0.0, rcvbuf=None, tally=None):
    with socket.socket(family(addr), socket.SOCK_DGRAM) as sock:
        if rcvbuf:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        sock.bind((addr, port))
        while True:
            sock.recv(65536)
            if tally:
                tally.add()
            if pause:
                time.sleep(pause)
