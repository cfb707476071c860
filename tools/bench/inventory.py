#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What does an inventory of many sockets cost, beside what `ss` needs for less?

Opens loopback connections in a network namespace of its own (2 sockets each), then runs each command there and prints its
CPU time: of the process and of the kernel on its behalf. Needs root, about 4 KiB of memory per socket, and a release build.
usage: inventory.py [--sockets 100000] [--runs 10] [--culprit build/release/userspace/culprit]
"""
import argparse
import ctypes
import os
import pathlib
import resource
import socket
import subprocess
import sys

CLONE_NEWNET = 0x40000000
MOST = 400_000
PER_PROCESS = 40_000  # half as many connections to one address: fewer than ephemeral ports
ROOT = pathlib.Path(__file__).resolve().parents[2]


def own_namespace():
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):
        sys.exit(f"a network namespace of its own: {os.strerror(ctypes.get_errno())}")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def open_sockets(number, count):
    """Pairs of connected sockets, and the listener they came from; the number makes its address."""
    listener = socket.create_server((f"127.0.{number // 200}.{number % 200 + 1}", 8080), backlog=1024)
    opened = [listener]
    for _ in range(count // 2):
        opened.append(socket.create_connection(listener.getsockname()))
        opened.append(listener.accept()[0])
    return opened


def hold_sockets(number, count, told):
    """A process of its own, as one may not open that many files. Ends with its parent's pipe."""
    opened = open_sockets(number, count)
    os.write(told[1], b"x")
    os.close(told[1])
    os.read(told[2], 1)
    os._exit(0 if opened else 1)


class Holders:
    """Processes with that many sockets in all."""

    def __init__(self, count):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        most = min(hard - 100, PER_PROCESS)
        ready, told = os.pipe()
        stop, self.keep = os.pipe()
        self.pids = []
        for number in range((count + most - 1) // most):
            pid = os.fork()
            if pid == 0:
                os.close(self.keep)
                hold_sockets(number, min(most, count - number * most), (ready, told, stop))
            self.pids.append(pid)
        os.close(told)
        for _ in self.pids:
            if not os.read(ready, 1):
                sys.exit("the sockets could not be opened")

    def end(self):
        os.close(self.keep)
        for pid in self.pids:
            os.waitpid(pid, 0)


def cpu_ms(command, runs):
    """The least of the runs, since other work on the machine only adds, and how many lines the last one printed."""
    times, lines = [], 0
    for _ in range(runs):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if not done.stdout:  # with issues and what was left out it ends with 3 and 1, and prints
            sys.exit(f"{command[0]}: {done.stderr.decode()}")
        lines = done.stdout.count(b"\n")
        times.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
    return 1000 * min(times), lines


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sockets", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--culprit", default=ROOT / "build/release/userspace/culprit")
    arguments = parser.parse_args()
    if not 2 <= arguments.sockets <= MOST:
        sys.exit(f"--sockets: 2 to {MOST}")
    own_namespace()
    culprit = [arguments.culprit, "show", "connections"]
    here = ["--netns", str(os.stat("/proc/self/ns/net").st_ino)]
    commands = {"culprit show connections, this namespace": culprit + here,
                "culprit show connections, all namespaces": culprit,
                "ss -tan (no owners)": ["ss", "-tan"],
                "ss -tanp (owners)": ["ss", "-tanp"]}
    idle, _ = cpu_ms(culprit + here, arguments.runs)
    print(f"{'culprit show connections, no sockets':44}{idle:8.0f} ms")
    holders = Holders(arguments.sockets)
    print(f"{arguments.sockets} sockets, {len(holders.pids)} processes")
    for name, command in commands.items():
        spent, lines = cpu_ms(command, arguments.runs)
        print(f"{name:44}{spent:8.0f} ms of CPU, {lines} lines", flush=True)
    holders.end()


if __name__ == "__main__":
    main()
