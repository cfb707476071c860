# SPDX-License-Identifier: MIT
"""Traffic that makes hooks run often, between two network namespaces of its own."""
import contextlib
import ctypes
import os
import signal
import socket
import struct
import subprocess
import sys
import time

CLONE_NEWNET = 0x40000000
SENDER, RECEIVER = "192.0.2.1", "192.0.2.2"
SO_ATTACH_FILTER = 26
BATCH = 512
LIBC = ctypes.CDLL(None, use_errno=True)
# what nothing else answers, and some of a stream
RULES = """table inet cost {
    chain input {
        type filter hook input priority 0
        meta l4proto 150-250 drop
        tcp dport 9001 numgen random mod 100 < 1 drop
    }
}
"""


SHAPER = "tbf rate 2gbit burst 64k limit 512k"


class Place:
    """Two namespaces and a link between them; the queue of the sender is one that no packet goes around."""

    def __init__(self, queue=SHAPER):
        self.queue = queue

    def __enter__(self):
        self.names = [f"cost-{side}-{os.getpid()}" for side in "ab"]
        for name in self.names:
            subprocess.run(["ip", "netns", "add", name], check=True)
            subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
        a, b = self.names
        for command in [f"ip -n {a} link add eth0 type veth peer name eth0 netns {b}",
                        f"ip -n {a} addr add {SENDER}/24 dev eth0", f"ip -n {b} addr add {RECEIVER}/24 dev eth0",
                        f"ip -n {a} link set eth0 up", f"ip -n {b} link set eth0 up",
                        f"tc -n {a} qdisc add dev eth0 root {self.queue}"]:
            subprocess.run(command.split(), check=True)
        subprocess.run(["ip", "netns", "exec", b, "nft", "-f", "-"], input=RULES, text=True, check=True)
        return self

    def __exit__(self, *_):
        for name in self.names:
            subprocess.run(["ip", "netns", "del", name], check=False)


def enter(name):
    with open(f"/run/netns/{name}") as file:
        if LIBC.setns(file.fileno(), CLONE_NEWNET):
            sys.exit(f"enter {name}: {os.strerror(ctypes.get_errno())}")


def refuse_datagrams(ready):
    """A socket whose filter drops all that comes."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as here:
        code = ctypes.create_string_buffer(struct.pack("<HBBI", 6, 0, 0, 0))  # return 0
        here.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("@HP", 1, ctypes.addressof(code)))
        here.bind((RECEIVER, 9000))
        ready()
        signal.pause()


def read_datagrams(ready):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as here:
        here.bind((RECEIVER, 9000))
        ready()
        while True:
            here.recv(64)


def message_to(name, payload):
    """struct mmsghdr of one datagram, and what it points to."""
    address = ctypes.create_string_buffer(name, len(name))
    data = ctypes.create_string_buffer(payload, len(payload))
    part = ctypes.create_string_buffer(struct.pack("@PN", ctypes.addressof(data), len(payload)))
    header = struct.pack("@PIPNPNiIi", ctypes.addressof(address), len(name), ctypes.addressof(part), 1, 0, 0, 0, 0, 0)
    return header, (address, data, part)


def send_datagrams(ready):
    """Not connected: each one looks up its route. Many with one call, or Python would be most of the load."""
    header, _kept = message_to(struct.pack("=HHI8x", socket.AF_INET, socket.htons(9000), socket.ntohl(0xc0000202)), b"x" * 32)
    batch = ctypes.create_string_buffer(header * BATCH)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as here:
        ready()
        while LIBC.sendmmsg(here.fileno(), batch, BATCH, 0) > 0:
            pass


def send_kinds(ready):
    """Each packet with another protocol, so that a sample of nearly each is told."""
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as here:
        packets = [struct.pack("!BBHHHBBH4s4s", 0x45, 0, 52, 0, 0, 64, protocol, 0, socket.inet_aton(SENDER),
                               socket.inet_aton(RECEIVER)) + b"x" * 32 for protocol in range(150, 250)]
        ready()
        while True:
            for packet in packets:
                here.sendto(packet, (RECEIVER, 0))
            time.sleep(0.02)


def take_stream(ready):
    with socket.create_server((RECEIVER, 9001)) as listener:
        ready()
        with listener.accept()[0] as peer:
            while peer.recv(65536):
                pass


def send_stream(ready):
    """Faster than the shaper: its queue overflows now and then, and segments are sent again."""
    with socket.create_connection((RECEIVER, 9001)) as peer:
        ready()
        while True:
            peer.sendall(b"x" * 65536)


def answer(ready):
    with socket.create_server(("127.0.0.1", 9002), backlog=128) as listener:
        ready()
        while True:
            with listener.accept()[0] as peer:
                peer.sendall(peer.recv(64))


def ask(ready):
    ready()
    while True:
        with socket.create_connection(("127.0.0.1", 9002)) as peer:
            peer.sendall(b"x" * 64)
            peer.recv(64)


def knock(ready):
    """At a closed port."""
    ready()
    while True:
        with socket.socket() as here:
            here.connect_ex(("127.0.0.1", 9003))


LOADS = {"datagrams": [(1, refuse_datagrams), (0, send_datagrams)],
         "read": [(1, read_datagrams), (0, send_datagrams)], "kinds": [(0, send_kinds)],
         "bulk": [(1, take_stream), (0, send_stream)], "connections": [(0, answer), (0, ask)],
         "refused": [(0, knock)]}


def start(name, work):
    """A process in that namespace, at work when this returns."""
    ready, told = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(ready)
            enter(name)
            work(lambda: os.write(told, b"x"))
        finally:
            os._exit(1)
    os.close(told)
    at_work = os.read(ready, 1)
    os.close(ready)
    if not at_work:
        sys.exit(f"{work.__name__} did not start")
    return pid


@contextlib.contextmanager
def running(load, place):
    pids = []
    try:
        for side, work in LOADS[load]:
            pids.append(start(place.names[side], work))
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
