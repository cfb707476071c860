# SPDX-License-Identifier: MIT
"""What scenarios ask of the kernel beyond sockets: BPF programs, raw frames, cgroups, device flags."""
import fcntl
import os
import pathlib
import shutil
import socket
import struct
import subprocess
import tempfile

from stage.scenario import Skip

SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1

PROGRAM = """
#include <linux/bpf.h>
static unsigned int (*prandom)(void) = (void *)BPF_FUNC_get_prandom_u32;
static int (*vlan_push)(void *, unsigned short, unsigned short) = (void *)BPF_FUNC_skb_vlan_push;
__attribute__((section("%(section)s"), used)) int %(name)s(void *ctx) { %(body)s }
char LICENSE[] __attribute__((section("license"), used)) = "GPL";
"""


def compile_program(world, section, name, body):
    """An object file with one BPF program; it goes with the world."""
    clang = shutil.which("clang")
    if not clang:
        raise Skip("clang is not here to compile a BPF program")
    folder = tempfile.mkdtemp(prefix="culprit-faults-")
    world.on_end(lambda: shutil.rmtree(folder, ignore_errors=True))
    path = os.path.join(folder, name + ".o")
    source = PROGRAM % {"section": section, "name": name, "body": body}
    include = "/usr/include/" + os.uname().machine + "-linux-gnu"
    done = subprocess.run([clang, "-O2", "-g", "-target", "bpf", "-I", include, "-x", "c", "-", "-c", "-o", path], input=source, text=True,
                          stderr=subprocess.PIPE, check=False)
    if done.returncode != 0:
        raise Skip("clang cannot compile for BPF: " + done.stderr.strip()[:200])
    return path


def sometimes(per_mille, rare, otherwise):
    return f"return prandom() % 1000 < {per_mille} ? {rare} : {otherwise};"


def cgroup2():
    for mount in (pathlib.Path("/sys/fs/cgroup"), pathlib.Path("/sys/fs/cgroup/unified")):
        if (mount / "cgroup.controllers").exists():
            return mount
    raise Skip("no cgroup v2 is mounted")


def make_cgroup(world, parent):
    """A folder below a cgroup, removed at the end, when nobody is in it any more."""
    folder = pathlib.Path(parent) / f"culprit-faults-{os.getpid()}-{len(world.cleanups)}"
    folder.mkdir()
    world.on_end(folder.rmdir)
    return folder


def join_cgroup(folder):
    (folder / "cgroup.procs").write_text("0", encoding="ascii")


def cpu_cgroup(world, percent):
    """A cgroup whose processes may use that share of one CPU together; nothing but the quota makes them wait."""
    period = 100_000
    quota = period * percent // 100
    v1 = pathlib.Path("/sys/fs/cgroup/cpu")
    try:
        if (v1 / "cgroup.procs").exists():
            folder = make_cgroup(world, v1)
            (folder / "cpu.cfs_quota_us").write_text(str(quota), encoding="ascii")
            (folder / "cpu.shares").write_text("100000", encoding="ascii")
        else:
            folder = make_cgroup(world, cgroup2())
            (folder / "cpu.max").write_text(f"{quota} {period}", encoding="ascii")
            (folder / "cpu.weight").write_text("10000", encoding="ascii")
    except OSError as error:
        raise Skip(f"no CPU quota can be set here: {error}") from error
    return folder


def throttled(folder):
    """A proof: how often the quota stopped it."""
    def read():
        lines = (folder / "cpu.stat").read_text(encoding="ascii").splitlines()
        return int(next(line for line in lines if line.startswith("nr_throttled")).split()[1])
    return read


def attach_to_cgroup(folder, path):
    """The only program of the object, to what the cgroup's processes send; it goes with the cgroup."""
    if not shutil.which("bpftool"):
        raise Skip("bpftool is not here to attach a program to a cgroup")
    pin = f"/sys/fs/bpf/culprit-faults-{os.getpid()}"
    try:
        subprocess.run(["bpftool", "prog", "load", path, pin, "type", "cgroup/skb"], check=True, capture_output=True)
        subprocess.run(["bpftool", "cgroup", "attach", folder, "egress", "pinned", pin], check=True, capture_output=True)
    finally:
        pathlib.Path(pin).unlink(missing_ok=True)


def set_up(device, up):
    """Switches a device of the caller's namespace on or off, as a program of an administrator does."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = struct.pack("16sH22x", device.encode(), 0)
        flags = struct.unpack_from("H", fcntl.ioctl(sock, SIOCGIFFLAGS, request), 16)[0]
        flags = flags | IFF_UP if up else flags & ~IFF_UP
        fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sH22x", device.encode(), flags))


def packet_socket(device):
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    sock.bind((device, 0))
    return sock


def mac_of(sock):
    return sock.getsockname()[4]


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ipv4(source, target, protocol, payload, ttl=64):
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 0, 0, ttl, protocol, 0,
                       socket.inet_aton(source), socket.inet_aton(target))
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def syn(source, target, port, target_port, sequence):
    pseudo = socket.inet_aton(source) + socket.inet_aton(target) + struct.pack("!BBH", 0, 6, 20)
    head = struct.pack("!HHIIBBHHH", port, target_port, sequence, 0, 0x50, 2, 64240, 0, 0)
    return ipv4(source, target, 6, head[:16] + struct.pack("!H", checksum(pseudo + head)) + head[18:])


def raw_socket():
    return socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
