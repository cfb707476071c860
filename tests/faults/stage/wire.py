# SPDX-License-Identifier: MIT
"""A path beyond this host's sight: a process that carries packets between two TUN devices.

To the kernel a packet read from a TUN device was delivered, so what is lost here leaves no trace but its absence."""
import fcntl
import heapq
import os
import random
import select
import struct
import time

from stage.process import enter_netns

TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x1, 0x1000
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16


def open_tun(name):
    """A TUN device in the namespace of the caller; it goes with the descriptor."""
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    return fd


def tcp_of(packet):
    """(flags, bytes of data) of a TCP packet without extension headers, else None."""
    start, protocol = (40, packet[6]) if packet[0] >> 4 == 6 else ((packet[0] & 15) * 4, packet[9])
    if protocol != 6 or len(packet) < start + 20:
        return None
    return packet[start + 13], len(packet) - start - (packet[start + 12] >> 4) * 4


def is_syn(packet):
    tcp = tcp_of(packet)
    return bool(tcp and tcp[0] & SYN and not tcp[0] & ACK)


def is_synack(packet):
    tcp = tcp_of(packet)
    return bool(tcp and tcp[0] & SYN and tcp[0] & ACK)


class Way:
    """One direction: seconds of delay, shares of packets, bytes per second. `drop` sees a packet and decides;
    `answer` may say what comes back in its place, nothing for b"", and None leaves it to pass."""

    def __init__(self, delay=0.0, jitter=0.0, loss=0.0, duplicate=0.0, reorder=0.0, corrupt=0.0, rate=None,
                 queue_bytes=100_000, drop=None, answer=None):
        self.delay, self.jitter, self.loss, self.duplicate = delay, jitter, loss, duplicate
        self.reorder, self.corrupt, self.rate, self.queue_bytes = reorder, corrupt, rate, queue_bytes
        self.drop, self.answer = drop, answer
        self.free_at = self.last_due = 0.0

    def take(self, packet, now):
        """When to deliver the packet: no times, one, or two."""
        if (self.drop and self.drop(packet)) or random.random() < self.loss:
            return []
        if self.rate:
            start = max(now, self.free_at)
            if (start - now) * self.rate > self.queue_bytes:
                return []
            self.free_at = start + len(packet) / self.rate
            now = self.free_at
        due = now + (self.delay() if callable(self.delay) else self.delay) + self.jitter * random.random()
        if random.random() < self.reorder:
            due += 0.004 + 0.02 * random.random()
        else:
            due = self.last_due = max(due, self.last_due)
        return [due, due] if random.random() < self.duplicate else [due]

    def spoil(self, packet):
        """Some packets with data come out with one byte changed."""
        if len(packet) < 200 or random.random() >= self.corrupt:
            return packet
        place = random.randrange(120, len(packet))
        return packet[:place] + bytes([packet[place] ^ 0x55]) + packet[place + 1:]


def deliver(fd, packet):
    try:
        os.write(fd, packet)
    except OSError:  # the device is down or its namespace is full: a path loses such packets
        pass


def carry(a, b, there, back):
    """Runs until killed. a and b are (process in the namespace, device name)."""
    fds = []
    for pid, device in (a, b):
        enter_netns(pid)
        fds.append(open_tun(device))
    poll = select.epoll()
    for fd in fds:
        poll.register(fd, select.EPOLLIN)
    ways = {fds[0]: (there, fds[1]), fds[1]: (back, fds[0])}
    waiting, number = [], 0
    while True:
        now = time.monotonic()
        while waiting and waiting[0][0] <= now:
            _, _, fd, packet = heapq.heappop(waiting)
            deliver(fd, packet)
        ready = poll.poll(max(0.0, waiting[0][0] - now) if waiting else None)
        now = time.monotonic()
        for fd, _ in ready:
            way, other = ways[fd]
            for packet in read_some(fd):
                if way.answer and (reply := way.answer(packet)) is not None:
                    number += 1
                    if reply:
                        heapq.heappush(waiting, (now + 0.001 + way.delay, number, fd, reply))
                    continue
                for due in way.take(packet, now):
                    number += 1
                    if due <= now:
                        deliver(other, way.spoil(packet))
                    else:
                        heapq.heappush(waiting, (due, number, other, way.spoil(packet)))


def read_some(fd):
    for _ in range(64):
        try:
            yield os.read(fd, 65536)
        except BlockingIOError:
            return
