# SPDX-License-Identifier: MIT
"""Name servers and processes that ask them."""
import contextlib
import random
import socket
import struct
import threading

from stage import actors

NOERROR, SERVFAIL, NXDOMAIN, REFUSED = 0, 2, 3, 5
PORT = 53
A, AAAA = 1, 28
ANSWERS = {A: "192.0.2.1"}
WORDS = "mail shop cdn api static login img news data auth pay node edge feed media store".split()


def question(name, kind=A):
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    return struct.pack("!HHHHHH", random.getrandbits(16), 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", kind, 1)


def name_in(query):
    parts, place = [], 12
    while query[place]:
        parts.append(query[place + 1:place + 1 + query[place]].decode("ascii", "replace"))
        place += query[place] + 1
    return ".".join(parts)


def record_of(query, addresses):
    """The answer's one record, none where there is no address of the kind that was asked for."""
    end = query.index(b"\0", 12)
    kind = struct.unpack_from("!H", query, end + 1)[0]
    if kind not in addresses:
        return b""
    address = socket.inet_pton(socket.AF_INET if kind == A else socket.AF_INET6, addresses[kind])
    return b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 60, len(address)) + address


def reply(query, rcode, truncated, addresses=ANSWERS):
    """An answer with one address, unless it is an error or too long for UDP."""
    record = record_of(query, addresses) if rcode == NOERROR and not truncated else b""
    flags = 0x8180 | 0x0200 * truncated | rcode
    end = query.index(b"\0", 12) + 5  # what else is there (EDNS) is not understood
    return query[:2] + struct.pack("!HHHHH", flags, 1, bool(record), 0, 0) + query[12:end] + record


def always(rcode=NOERROR, delay=None, truncated=False):
    """What a server does with each name: (seconds, code, truncated)."""
    return lambda name: (delay() if delay else random.uniform(0, 0.002), rcode, truncated)


def server(addr, port, behave, addresses=ANSWERS):
    """behave(name) says what to do with a query, None is silence. TCP gets whole answers at once."""
    threading.Thread(target=serve_tcp, args=(addr, port, addresses), daemon=True).start()
    with socket.socket(actors.family(addr), socket.SOCK_DGRAM) as sock:
        sock.bind((addr, port))
        for _ in range(2_000_000):
            query, client = sock.recvfrom(4096)
            told = behave(name_in(query))
            if told:
                delay, rcode, truncated = told
                threading.Timer(delay, sock.sendto, (reply(query, rcode, truncated, addresses), client)).start()


def serve_tcp(addr, port, addresses):
    def handle(sock):
        while len(head := sock.recv(2, socket.MSG_WAITALL)) == 2:
            query = sock.recv(struct.unpack("!H", head)[0], socket.MSG_WAITALL)
            whole = reply(query, NOERROR, False, addresses)
            sock.sendall(struct.pack("!H", len(whole)) + whole)
    actors.server(addr, port, handle)


def ask_tcp(addr, query):
    with actors.connect(addr, PORT, 2.0) as sock:
        sock.sendall(struct.pack("!H", len(query)) + query)
        sock.recv(512)


def ask(addr, name, timeout=1.5, tries=2, kind=A):
    """The response code, or None when no answer came."""
    query = question(name, kind)
    for _ in range(tries):
        with socket.socket(actors.family(addr), socket.SOCK_DGRAM) as sock, contextlib.suppress(OSError):
            sock.settimeout(timeout)
            sock.connect((addr, PORT))
            sock.send(query)
            answer = sock.recv(4096)
            if answer[2] & 2:
                ask_tcp(addr, query)
            return answer[3] & 15
    return None


def host(domain):
    return f"{random.choice(WORDS)}{random.randint(1, 40)}.{domain}"


def lookups(addr, per_second, domain, search=(), tally=None):
    """Looks names up; with a search list each name is tried below its domains first."""
    for _ in actors.ticks(per_second):
        name = host(domain)
        for suffix in (*search, None):
            if ask(addr, f"{name}.{suffix}" if suffix else name) == NOERROR:
                break
        if tally:
            tally.add()
