# SPDX-License-Identifier: MIT
"""BPF programs as the kernel counts them: runs and time of those a process holds, and empty ones to compare with."""
import collections
import contextlib
import ctypes
import mmap
import os
import platform
import re
import struct
import subprocess
import sys

MAP_CREATE, PROG_LOAD, PROG_GET_FD_BY_ID, OBJ_GET_INFO_BY_FD, RAW_TRACEPOINT_OPEN, ENABLE_STATS = 0, 5, 13, 15, 17, 32
TYPE_TRACING, ATTACH_TRACE_RAW_TP = 26, 23
MAP_TYPE_RINGBUF, RING_BYTES = 27, 2 << 20


def code(*instructions):
    """Each one: opcode, destination, source, offset, immediate."""
    return b"".join(struct.pack("<BBhi", opcode, source << 4 | to, offset, value) for opcode, to, source, offset, value in instructions)


RETURN = [(0xb7, 0, 0, 0, 0), (0x95, 0, 0, 0, 0)]  # r0 = 0; exit
EMPTY = code(*RETURN)
SYSCALL = {"x86_64": 321, "aarch64": 280}[platform.machine()]
LIBC = ctypes.CDLL(None, use_errno=True)

Run = collections.namedtuple("Run", "ns count")


def bpf(command, attr, doing):
    buffer = ctypes.create_string_buffer(attr, len(attr))
    done = LIBC.syscall(SYSCALL, command, buffer, len(attr))
    if done < 0:
        sys.exit(f"{doing}: {os.strerror(ctypes.get_errno())}")
    return done


def enable_stats():
    """They are counted until this is closed, or the process ends; the sysctl stays as it is."""
    return bpf(ENABLE_STATS, struct.pack("<I", 0), "switch BPF statistics on")


def hook_types(hooks):
    """Number of each hook's type in the kernel's BTF."""
    command = ["bpftool", "btf", "dump", "file", "/sys/kernel/btf/vmlinux", "format", "raw"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    types = dict((name, int(number)) for number, name in re.findall(r"^\[(\d+)\] TYPEDEF 'btf_trace_(\w+)'", listed, re.M))
    return {hook: types[hook] for hook in hooks if hook in types}


class Empty:
    """A program that does nothing, at a hook, until it is closed."""

    def __init__(self, type_id, instructions=EMPTY):
        text, licence = ctypes.create_string_buffer(instructions), ctypes.create_string_buffer(b"GPL")
        attr = struct.pack("<IIQQIIQII16sIIIIQIIQIII", TYPE_TRACING, len(instructions) // 8, ctypes.addressof(text),
                           ctypes.addressof(licence), 0, 0, 0, 0, 0, b"empty", 0, ATTACH_TRACE_RAW_TP, 0, 0, 0, 0, 0, 0, 0,
                           type_id, 0)
        self.program = bpf(PROG_LOAD, attr, "load a program to compare with")
        self.link = bpf(RAW_TRACEPOINT_OPEN, struct.pack("<QII", 0, self.program, 0), "attach it")

    def close(self):
        os.close(self.link)
        os.close(self.program)


class Record(Empty):
    """One that writes a record of zeros and the time into a ring, and nothing else: no event can cost less."""

    def __init__(self, type_id, size):
        self.ring = bpf(MAP_CREATE, struct.pack("<IIII56x", MAP_TYPE_RINGBUF, 0, 0, RING_BYTES), "make a ring")
        zeros = [(0x7a, 6, 0, offset, 0) for offset in range(8, size, 8)]
        send = [(0xbf, 6, 0, 0, 0), (0x85, 0, 0, 0, 125), (0x7b, 6, 0, 0, 0), *zeros,  # r6 = r0; the time to where r6 points
                (0xbf, 1, 6, 0, 0), (0xb7, 2, 0, 0, 1), (0x85, 0, 0, 0, 132)]  # submit, without a wakeup
        reserve = [(0x18, 1, 1, 0, self.ring), (0, 0, 0, 0, 0), (0xb7, 2, 0, 0, size), (0xb7, 3, 0, 0, 0), (0x85, 0, 0, 0, 131)]
        super().__init__(type_id, code(*reserve, (0x15, 0, 0, len(send), 0), *send, *RETURN))
        self.read = mmap.mmap(self.ring, mmap.PAGESIZE)
        self.written = mmap.mmap(self.ring, mmap.PAGESIZE, prot=mmap.PROT_READ, offset=mmap.PAGESIZE)

    def drain(self):
        self.read[:8] = self.written[:8]

    def close(self):
        self.read.close()
        self.written.close()
        super().close()
        os.close(self.ring)


def look(program):
    """(name, Run) of a program by its descriptor: struct bpf_prog_info."""
    info = ctypes.create_string_buffer(232)
    bpf(OBJ_GET_INFO_BY_FD, struct.pack("<IIQ", program, len(info), ctypes.addressof(info)), "look at a program")
    name = info.raw[64:80].split(b"\0")[0].decode()
    return name, Run(*struct.unpack_from("<QQ", info.raw, 192))


def programs_of(pid):
    """Descriptors, of our own, of the programs a process holds: name -> descriptor."""
    numbers = set()
    for name in os.listdir(f"/proc/{pid}/fdinfo"):
        with contextlib.suppress(FileNotFoundError), open(f"/proc/{pid}/fdinfo/{name}") as file:  # closed by now
            numbers.update(int(number) for number in re.findall(r"^prog_id:\s+(\d+)", file.read(), re.M))
    opened = [bpf(PROG_GET_FD_BY_ID, struct.pack("<III", number, 0, 0), "open a program") for number in sorted(numbers)]
    return {look(program)[0]: program for program in opened}
