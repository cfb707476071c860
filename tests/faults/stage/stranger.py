# SPDX-License-Identifier: MIT
"""A host far away that is no process here: it takes connections and data, and never closes."""
import socket
import struct

from stage.kernel import checksum, ipv4
from stage.wire import ACK, FIN, RST, SYN


class Stranger:
    """Answers TCP over IPv4 for one address; as the `answer` of a way. `room` is what it takes per connection before its
    window closes."""

    def __init__(self, addr, room=1 << 40):
        self.addr, self.room = socket.inet_aton(addr), room
        self.connections = {}  # (peer, its port, own port) -> [next expected, bytes taken]

    def answer(self, packet):
        if packet[0] >> 4 != 4 or packet[16:20] != self.addr or packet[9] != 6:
            return None
        start = (packet[0] & 15) * 4
        port, own, sequence, _, offset, flags = struct.unpack_from("!HHIIBB", packet, start)
        data = len(packet) - start - (offset >> 4) * 4
        key = (packet[12:16], port, own)
        if flags & SYN:
            self.connections[key] = [sequence + 1 & 0xFFFFFFFF, 0]
            return self.segment(key, 0, SYN | ACK)
        known = self.connections.get(key)
        if known is None or flags & RST:
            return b""
        if sequence == known[0]:
            taken = min(data, self.room - known[1])
            fin = bool(flags & FIN) and taken == data
            known[0] = known[0] + taken + fin & 0xFFFFFFFF
            known[1] += taken
        return self.segment(key, 1, ACK) if data or flags & FIN or sequence != known[0] else b""

    def segment(self, key, sequence, flags):
        peer, port, own = key
        expected, taken = self.connections[key]
        options = b"\x02\x04\x05\xb4" if flags & SYN else b""
        head = struct.pack("!HHIIBBHHH", own, port, sequence, expected, (20 + len(options)) // 4 << 4, flags,
                           min(60000, self.room - taken), 0, 0) + options
        pseudo = self.addr + peer + struct.pack("!BBH", 0, 6, len(head))
        head = head[:16] + struct.pack("!H", checksum(pseudo + head)) + head[18:]
        return ipv4(socket.inet_ntoa(self.addr), socket.inet_ntoa(peer), 6, head)
