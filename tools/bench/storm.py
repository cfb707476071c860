#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Does culprit stay exact, small and cheap in a storm, and quiet at rest?

In two network namespaces of its own: as many dropped datagrams, then as many short connections as the machine gives, while
`culprit diagnose` watches; what it counted is compared with the kernel's counters. Then a while without traffic, the delay of
a lone event in `culprit watch`, and how long everything and one signal take to start and to stop. Exit code 1: a bar is missed.
Needs root, ip, tc and cc, and a machine that has nothing else to do.
usage: storm.py [--seconds 3] [--culprit build/release/userspace/culprit] [--json FILE]
"""
import argparse
import contextlib
import json
import os
import pathlib
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

import change
import loads
import tools

EVERYTHING = ["diagnose", "--for", "1h", "--output", "json", "--debug"]
LONE = 12


class Bars:
    """Figures beside what they have to be."""

    def __init__(self):
        self.figures = {}
        self.missed = False

    def tell(self, name, value, most=None, unit=""):
        missed = most is not None and value > most
        self.missed = self.missed or missed
        self.figures[name] = value
        bar = "" if most is None else f"<= {most:g}  {'MISSED' if missed else 'ok'}"
        print(f"{name:44} {value:12.6g} {unit:8} {bar}", flush=True)


@contextlib.contextmanager
def at_work(culprit, *more):
    """The process, and the milliseconds until it was at work; whatever happens it ends."""
    began = time.monotonic()
    process = subprocess.Popen([culprit, *EVERYTHING, *more], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        if not any("start used" in line for line in process.stderr):
            sys.exit(f"{culprit} did not start")
        yield process, 1000 * (time.monotonic() - began)
    finally:
        process.kill()
        process.wait()


def stop(process):
    """Its verdict, and the milliseconds it took."""
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    verdict = json.loads(process.communicate()[0])
    return verdict, 1000 * (time.monotonic() - began)


def kernel_count(netns, protocol, name):
    lines = subprocess.run(["nsenter", f"--net=/run/netns/{netns}", "cat", "/proc/net/snmp"], check=True, capture_output=True,
                           text=True).stdout.splitlines()
    names, values = [line.split()[1:] for line in lines if line.startswith(protocol + ":")]
    return int(values[names.index(name)])


def summed(saved, table, member, wanted):
    rows = [row for line in saved.read_text().splitlines() for row in json.loads(line)["tables"].get(table, [])]
    return sum(row[member] for row in rows if wanted(row))


def storm(arguments, binary, place, mode):
    """(units per second, verdict, path of its windows, share of a core, RSS in MB)"""
    saved = pathlib.Path(binary).with_name("windows")
    with at_work(arguments.culprit, "--save", str(saved)) as (process, _):
        time.sleep(1)
        with change.Work(binary, mode, place) as work:
            units, spent = work.units(), tools.cpu_ns(process.pid)
            time.sleep(arguments.seconds)
            units, spent = work.units() - units, tools.cpu_ns(process.pid) - spent
            rss = tools.rss_bytes(process.pid) / 1e6
        time.sleep(1)
        verdict, _ = stop(process)
    return units / arguments.seconds, verdict, saved, spent / arguments.seconds / 1e9, rss


def drops(arguments, binary, place, bars):
    netns = os.stat(f"/run/netns/{place.names[1]}").st_ino
    before = kernel_count(place.names[1], "Udp", "InErrors")
    rate, _, saved, cpu, rss = storm(arguments, binary, place, "drops")
    kernel = kernel_count(place.names[1], "Udp", "InErrors") - before
    seen = summed(saved, "drop_total", "packets", lambda row: row["netns"] == netns and row["protocol"] == socket.IPPROTO_UDP)
    bars.tell("drops", rate, unit="per s")
    bars.tell("drops not in the totals, of a million", 1e6 * abs(kernel - seen) / kernel, 10)  # a hook's run may be skipped
    bars.tell("culprit in a storm of drops", 100 * cpu, 15, "% core")
    bars.tell("its memory", rss, 30, "MB")


def connections(arguments, binary, place, bars):
    netns = os.stat(f"/run/netns/{place.names[1]}").st_ino
    before = kernel_count(place.names[1], "Tcp", "PassiveOpens")
    rate, verdict, saved, cpu, rss = storm(arguments, binary, place, "churn")
    kernel = kernel_count(place.names[1], "Tcp", "PassiveOpens") - before
    seen = summed(saved, "close", "count", lambda row: row["flow"][7] == netns)
    lost = verdict["lost"]["by_kind"].get("close", {}).get("ring_full", 0)
    bars.tell("connections", rate, unit="per s")
    bars.tell("connections without a record", kernel - seen, 0)
    bars.tell("records the ring had no room for", lost, 0)
    bars.tell("culprit in a storm of connections", 100 * cpu, 15, "% core")
    bars.tell("its memory", rss, 30, "MB")


def voluntary_switches(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(text.split("voluntary_ctxt_switches:")[1].split()[0])


def rest(arguments, bars):
    with at_work(arguments.culprit) as (process, _):
        time.sleep(2)
        spent, switches = tools.cpu_ns(process.pid), voluntary_switches(process.pid)
        seconds = 4 * arguments.seconds
        time.sleep(seconds)
        bars.tell("culprit at rest", (tools.cpu_ns(process.pid) - spent) / seconds / 1e7, 0.3, "% core")
        bars.tell("its wakeups", (voluntary_switches(process.pid) - switches) / seconds, 5, "per s")
        bars.tell("its memory at rest", tools.rss_bytes(process.pid) / 1e6, 15, "MB")


def lone_event(arguments, place, bars):
    """A connection to a closed port: how long until its reset is printed?"""
    loads.enter(place.names[0])
    watch = subprocess.Popen([arguments.culprit, "watch", "reset", "--output", "json", "--netns",
                              str(os.stat("/proc/self/ns/net").st_ino)], stdout=subprocess.PIPE, text=True)
    time.sleep(1)
    delays = []
    for number in range(LONE):
        time.sleep(0.3 + 0.017 * number)
        with socket.socket() as here:
            here.connect_ex(("127.0.0.1", 9003))
        began = time.monotonic()
        watch.stdout.readline(), watch.stdout.readline()  # sent, and received
        delays.append(1000 * (time.monotonic() - began))
    watch.send_signal(signal.SIGINT)
    watch.communicate()
    bars.tell("a lone event is printed after, at most", max(delays), 250, "ms")


def start_and_stop(arguments, bars):
    pairs = []
    for _ in range(5):
        with at_work(arguments.culprit) as (process, start_ms):
            pairs.append((start_ms, stop(process)[1]))
    bars.tell("start of everything", statistics.median(pair[0] for pair in pairs), 120, "ms")
    bars.tell("stop, verdict included", statistics.median(pair[1] for pair in pairs), 1000, "ms")
    one = []
    for _ in range(5):
        began = time.monotonic()
        subprocess.run([arguments.culprit, "watch", "reset", "--for", "1ms"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        one.append(1000 * (time.monotonic() - began))
    bars.tell("start and stop of one signal", statistics.median(one), 50, "ms")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--culprit", default=tools.ROOT / "build/release/userspace/culprit")
    parser.add_argument("--json")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # what was started ends
    bars = Bars()
    start_and_stop(arguments, bars)
    rest(arguments, bars)
    with tempfile.TemporaryDirectory() as folder, loads.Place("pfifo limit 1000") as place:
        binary = change.build(folder)
        drops(arguments, binary, place, bars)
        connections(arguments, binary, place, bars)
        lone_event(arguments, place, bars)  # last: it stays in that namespace
    if arguments.json:
        pathlib.Path(arguments.json).write_text(json.dumps(bars.figures, indent=1) + "\n")
    return int(bars.missed)


if __name__ == "__main__":
    sys.exit(main())
