# SPDX-License-Identifier: MIT
"""BPF programs as the kernel counts them: runs and time of those a process holds, and empty ones to compare with."""
import collections
import contextlib
import ctypes
import os
import platform
import re
import struct
import subprocess
import sys

PROG_LOAD, PROG_GET_FD_BY_ID, OBJ_GET_INFO_BY_FD, RAW_TRACEPOINT_OPEN, ENABLE_STATS = 5, 13, 15, 17, 32
TYPE_TRACING, ATTACH_TRACE_RAW_TP = 26, 23
EMPTY = struct.pack("<BBhi", 0xb7, 0, 0, 0) + struct.pack("<BBhi", 0x95, 0, 0, 0)  # r0 = 0; exit
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

    def __init__(self, type_id):
        code, licence = ctypes.create_string_buffer(EMPTY), ctypes.create_string_buffer(b"GPL")
        attr = struct.pack("<IIQQIIQII16sIIIIQIIQIII", TYPE_TRACING, len(EMPTY) // 8, ctypes.addressof(code),
                           ctypes.addressof(licence), 0, 0, 0, 0, 0, b"empty", 0, ATTACH_TRACE_RAW_TP, 0, 0, 0, 0, 0, 0, 0,
                           type_id, 0)
        self.program = bpf(PROG_LOAD, attr, "load an empty program")
        self.link = bpf(RAW_TRACEPOINT_OPEN, struct.pack("<QII", 0, self.program, 0), "attach it")

    def close(self):
        os.close(self.link)
        os.close(self.program)


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
