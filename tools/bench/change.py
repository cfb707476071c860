#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""How much dearer does a load become while a tool watches?

Each load runs on between two network namespaces of its own, through a queue; slices of it with a tool are compared with the
slices without any just before and behind. The measure is the CPU time one unit takes the load's processes and the kernel's
softirq threads, so that other work on the machine counts less. 100 % is as much work for it as without. Prints medians over pairs
and, with --json, all of it; --against FILE fails when a ratio of culprit's fell by more than noise. Needs root, ip, tc and
cc; compares with those of tcplife and tcpstates (libbpf-tools), bpftrace and tcpdump that are installed.
usage: change.py [--pairs 12] [--seconds 0.3] [--culprit build/release/userspace/culprit] [--json FILE] [--against FILE]
"""
import argparse
import collections
import json
import mmap
import os
import pathlib
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time

import loads
import tools

# load -> how much of the work without a tool is to be left
BARS = {"bulk": 0.99, "ask": 0.98, "churn": 0.97, "datagrams": 0.97}
NOISE = 0.02
SETTLE = 0.8  # seconds until a tool's start is over, its first look at what is there included

Slice = collections.namedtuple("Slice", "units cpu_ns seconds tool_cpu_ns")


def build(folder):
    binary = os.path.join(folder, "work")
    subprocess.run(["cc", "-O2", "-o", binary, str(pathlib.Path(__file__).with_name("work.c"))], check=True)
    return binary


def softirq_threads():
    return [int(path.parent.name) for path in pathlib.Path("/proc").glob("[0-9]*/comm") if path.read_text().startswith("ksoftirqd/")]


class Work:
    """One load, which runs until this ends."""

    def __init__(self, binary, mode, place):
        self.file = tempfile.NamedTemporaryFile()
        self.file.write(bytes(mmap.PAGESIZE))
        self.file.flush()
        self.count = mmap.mmap(self.file.fileno(), mmap.PAGESIZE)
        self.children = []
        for side, name in (("to", place.names[1]), ("from", place.names[0])):
            self.children.append(subprocess.Popen(["nsenter", f"--net=/run/netns/{name}", binary, mode, side, loads.RECEIVER,
                                                   self.file.name]))
            time.sleep(0.2)
        self.softirqs = softirq_threads()

    def units(self):
        return int.from_bytes(self.count[:8], sys.byteorder)

    def cpu_ns(self):
        return sum(map(tools.cpu_ns, [child.pid for child in self.children] + self.softirqs))

    def slice(self, seconds, tool=None):
        def look():
            return self.units(), self.cpu_ns(), time.monotonic(), tool.cpu_ns() if tool else 0
        before = look()
        time.sleep(seconds)
        return Slice(*(now - then for now, then in zip(look(), before)))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for child in self.children:
            child.kill()
            child.wait()
        self.count.close()
        self.file.close()


def pair(work, tool, place, arguments):
    """One pair: without, with, without."""
    before = work.slice(arguments.seconds)
    running = tools.Running(tool, place.names[0])
    time.sleep(SETTLE)
    try:
        during = work.slice(arguments.seconds, running)
        rss = running.rss_bytes()
    finally:
        stop_ms = running.stop()
    after = work.slice(arguments.seconds)
    off_cost = (before.cpu_ns + after.cpu_ns) / max(1, before.units + after.units)
    off_rate = (before.units + after.units) / (before.seconds + after.seconds)
    return {"work": off_cost / (during.cpu_ns / max(1, during.units)), "rate": during.units / during.seconds / off_rate,
            "off_ns": off_cost, "tool_cpu": during.tool_cpu_ns / during.seconds / 1e9, "rss_mb": rss / 1e6,
            "start_ms": running.start_ms, "stop_ms": stop_ms}


def measure(arguments, binary):
    """load -> tool -> list of pairs."""
    found = collections.defaultdict(lambda: collections.defaultdict(list))
    with loads.Place("pfifo limit 1000") as place:
        for load in BARS:
            print(f"{load} ...", file=sys.stderr, flush=True)
            with Work(binary, load, place) as work:
                for _ in range(arguments.pairs):
                    for tool in tools.known(arguments.culprit):
                        found[load][tool.name].append(pair(work, tool, place, arguments))
    return found


def table(found):
    """load -> tool -> medians."""
    return {load: {tool: {key: statistics.median(pair[key] for pair in many) for key in many[0]} for tool, many in by_tool.items()}
            for load, by_tool in found.items()}


def judge(medians):
    """Prints it; is anything short of its bar?"""
    short = False
    print(f"{'load':10} {'tool':22} {'work':>7} {'rate':>7} {'CPU':>6} {'RSS MB':>7} {'start':>6} {'stop':>5}  ms")
    for load, by_tool in medians.items():
        peers = [1 - row["work"] for tool, row in by_tool.items() if tool != "culprit"]
        for tool, row in by_tool.items():
            note = ""
            if tool == "culprit":
                loss = 1 - row["work"]
                note = "ok" if loss <= 1 - BARS[load] else f"below {BARS[load]:.0%}"
                if peers and loss > max(min(peers) / 2, 0):
                    note += ", more than half the cheapest peer's loss"
                short = short or note != "ok"
            print(f"{load:10} {tool:22} {row['work']:7.1%} {row['rate']:7.1%} {row['tool_cpu']:6.1%} {row['rss_mb']:7.1f} "
                  f"{row['start_ms']:6.0f} {row['stop_ms']:5.0f}  {note}")
    return short


def fell(medians, file):
    """Loads of which culprit leaves less than it did when the file was written."""
    before = json.loads(pathlib.Path(file).read_text()).get("change", {})
    return [load for load, row in before.items() if medians[load]["culprit"]["work"] < row["culprit"]["work"] - NOISE]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=0.3)
    parser.add_argument("--culprit", default=tools.ROOT / "build/release/userspace/culprit")
    parser.add_argument("--json")
    parser.add_argument("--against")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # what was started ends
    with tempfile.TemporaryDirectory() as folder:
        medians = table(measure(arguments, build(folder)))
    short = judge(medians)
    if arguments.json:
        ratios = {"kernel": platform.release(), "change": medians}
        pathlib.Path(arguments.json).write_text(json.dumps(ratios, indent=1, default=lambda x: round(x, 4)) + "\n")
    worse = fell(medians, arguments.against) if arguments.against else []
    for load in worse:
        print(f"{load}: less is left than in {arguments.against}")
    return int(short or bool(worse))


if __name__ == "__main__":
    sys.exit(main())
