#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Does an event cost more when many sockets are open?

In a network namespace of its own: short connections while `culprit diagnose` watches, first alone, then beside many idle
sockets. Prints the time per run of each program by kernel.bpf_stats_enabled (switched on for the while, which itself adds some 50 ns).
Needs root, about 4 KiB of memory per socket, and a release build.
usage: scale.py [--sockets 300000] [--connections 5000] [--runs 5] [--culprit build/release/userspace/culprit]
"""
import argparse
import contextlib
import json
import pathlib
import socket
import statistics
import subprocess
import sys
import threading

from inventory import ROOT, Holders, own_namespace

STATS = pathlib.Path("/proc/sys/kernel/bpf_stats_enabled")


@contextlib.contextmanager
def bpf_stats():
    before = STATS.read_text()
    STATS.write_text("1")
    try:
        yield
    finally:
        STATS.write_text(before)


def echo(listener, count):
    for _ in range(count):
        with listener.accept()[0] as peer:
            peer.sendall(peer.recv(64))


def churn(count):
    with socket.create_server(("127.1.0.1", 9000), backlog=128) as listener:
        server = threading.Thread(target=echo, args=(listener, count))
        server.start()
        for _ in range(count):
            with socket.create_connection(listener.getsockname()) as client:
                client.sendall(b"x" * 64)
                client.recv(64)
        server.join()


def one_run(culprit, connections):
    """ns per run by program, of those that ran often."""
    watching = subprocess.Popen([culprit, "diagnose", "--for", "1h", "--output", "json", "--debug"], text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    for line in watching.stderr:
        if "start used" in line:
            break
    churn(connections)
    watching.send_signal(2)
    verdict = json.loads(watching.communicate()[0])
    programs = verdict["self"]["programs"]
    return {p["name"]: p["ns_per_run"] for p in programs if p["runs"] >= connections}


def medians(arguments):
    runs = [one_run(arguments.culprit, arguments.connections) for _ in range(arguments.runs)]
    return {name: statistics.median(run[name] for run in runs) for name in runs[0] if all(name in run for run in runs)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sockets", type=int, default=300_000)
    parser.add_argument("--connections", type=int, default=5000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--culprit", default=str(ROOT / "build/release/userspace/culprit"))
    arguments = parser.parse_args()
    own_namespace()
    with bpf_stats():
        few = medians(arguments)
        holders = Holders(arguments.sockets)
        try:
            many = medians(arguments)
        finally:
            holders.end()
        again = medians(arguments)
    print(f"{'program':18} {'few':>8} {str(arguments.sockets):>8} {'few':>8}   ns per run, medians of {arguments.runs}")
    for name in sorted(few):
        print(f"{name:18} {few[name]:8.0f} {many.get(name, 0):8.0f} {again.get(name, 0):8.0f}")


if __name__ == "__main__":
    sys.exit(main())
