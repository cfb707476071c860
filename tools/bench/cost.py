#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What does each hook cost the kernel while `culprit diagnose` watches?

Loads two network namespaces of its own with traffic and compares, by the kernel's statistics of BPF programs, each of culprit's
programs with empty ones at the same hook, run by the same packets: one attached before culprit's and one behind it, since the
first at a hook meets the colder cache. The figure is the median over rounds, which start culprit anew (where its programs come
to lie matters by several nanoseconds), and over slices of a round. Samples, records and all else a program does are in it.
"record" is what a program costs there that sends a record of zeros of that size and does nothing else: the floor under events.
Exit code 1: one is over its budget. Needs root, ip, tc, nft and bpftool, and a machine that has nothing else to do.
With --json FILE the figures are kept, with --against FILE it is 1 too when one is dearer than there by more than noise.
usage: cost.py [--rounds 8] [--slices 4] [--seconds 0.2] [--culprit build/release/userspace/culprit] [--json FILE] [--against FILE]
"""
import argparse
import collections
import json
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import time

import loads
import programs

ROOT = pathlib.Path(__file__).resolve().parents[2]
FEW = 50  # a slice with fewer runs tells nothing
NOISE, NOISE_NS = 1.25, 5

# load -> rows of (program as the kernel has its name, hook, budget in ns, the hook whose runs are the unit, bytes of the record it sends)
Row = collections.namedtuple("Row", "program hook budget per record", defaults=[0])
ROWS = {
    "datagrams": [Row("qdisc_enqueued", "qdisc_enqueue", 10, "qdisc_enqueue"),
                  Row("qdisc_dequeued", "qdisc_dequeue", 10, "qdisc_enqueue"),
                  Row("nic_xmit", "net_dev_xmit", 10, "net_dev_xmit"),
                  Row("nic_poll", "napi_poll", 10, "napi_poll"),
                  Row("route_lookup4", "fib_table_lookup", 10, "fib_table_lookup"),
                  Row("dns_sent", "net_dev_queue", 10, "net_dev_queue"),
                  Row("drop_skb", "kfree_skb", 60, "kfree_skb")],
    "read": [Row("dns_read", "sock_recv_length", 10, "sock_recv_length"),
             Row("dns_sent", "net_dev_queue", 10, "net_dev_queue")],
    "kinds": [Row("drop_skb", "kfree_skb", 200, "kfree_skb", 168)],
    "bulk": [Row("retransmit_skb", "tcp_retransmit_skb", 300, "tcp_retransmit_skb", 248),
             Row("dns_sent", "net_dev_queue", 10, "net_dev_queue"),
             Row("dns_read", "sock_recv_length", 10, "sock_recv_length"),
             Row("dns_streamed", "sock_send_length", 10, "sock_send_length")],
    "connections": [Row("connection_stat", "inet_sock_set_state", 100, "inet_sock_set_state"),
                    Row("listen_state", "inet_sock_set_state", 100, "inet_sock_set_state"),
                    Row("connection_free", "tcp_destroy_sock", 100, "tcp_destroy_sock")],
    "refused": [Row("reset_send", "tcp_send_reset", 300, "tcp_send_reset", 144),
                Row("reset_receive", "tcp_receive_reset", 300, "tcp_receive_reset", 144)],
}


class Watch:
    """`culprit diagnose` at work, and empty programs beside it."""

    def __init__(self, culprit, types):
        self.empty = [self.attach_empty(types)]
        self.process = subprocess.Popen([culprit, "diagnose", "--for", "1h", "--output", "json", "--debug"], text=True,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        if not any("start used" in line for line in self.process.stderr):
            sys.exit(f"{culprit} did not start")
        self.programs = programs.programs_of(self.process.pid)
        self.empty.append(self.attach_empty(types))
        self.records = {}

    def send_records(self, rows, types):
        """While a load runs, beside each program that tells events: the least such a one can cost."""
        self.records = {row.hook: programs.Record(types[row.hook], row.record) for row in rows if row.record and row.hook in types}

    def end_records(self):
        for record in self.records.values():
            record.close()
        self.records = {}

    @staticmethod
    def attach_empty(types):
        return {hook: programs.Empty(number) for hook, number in types.items()}

    def look(self):
        """(kind, name) -> Run so far."""
        seen = {("program", name): programs.look(program)[1] for name, program in self.programs.items()}
        for hook in self.empty[0]:
            runs = [programs.look(empty[hook].program)[1] for empty in self.empty]
            seen["empty", hook] = programs.Run(*map(sum, zip(*runs)))
        for hook, record in self.records.items():
            record.drain()
            seen["record", hook] = programs.look(record.program)[1]
        return seen

    def close(self):
        self.process.send_signal(signal.SIGINT)
        self.process.communicate()
        for program in self.programs.values():
            os.close(program)
        for empty in self.empty:
            for one in empty.values():
                one.close()


def compare(row, before, after):
    """(runs, ns above empty per unit, those of the least record) of one slice; None when it was too quiet."""
    def grown(kind, name):
        return programs.Run(*(now - then for now, then in zip(after[kind, name], before[kind, name])))
    if ("program", row.program) not in after or ("empty", row.hook) not in after or ("empty", row.per) not in after:
        return None
    ours, empty, unit = grown("program", row.program), grown("empty", row.hook), grown("empty", row.per).count // 2
    if ours.count < FEW or empty.count < FEW or unit < FEW:
        return None
    least = grown("record", row.hook) if ("record", row.hook) in before else empty
    return (ours.count, (ours.ns / ours.count - empty.ns / empty.count) * ours.count / unit,
            least.ns / max(1, least.count) - empty.ns / empty.count)


def measure(arguments, types):
    """(load, Row) -> list of (runs, ns)."""
    slices = collections.defaultdict(list)
    with loads.Place() as place:
        for _ in range(arguments.rounds):
            watch = Watch(arguments.culprit, types)
            for load, rows in ROWS.items():
                with loads.running(load, place):
                    watch.send_records(rows, types)
                    for _ in range(arguments.slices):
                        before = watch.look()
                        time.sleep(arguments.seconds)
                        after = watch.look()
                        for row in rows:
                            slices[load, row].append(compare(row, before, after))
                    watch.end_records()
            watch.close()
    return {key: [one for one in values if one] for key, values in slices.items()}


def dearer(figures, file):
    """Programs that cost more than they did when the file was written, and more than it had noise."""
    before = json.loads(pathlib.Path(file).read_text()).get("cost", {})
    return [name for name, row in figures.items() if name in before and row["ns"] > NOISE * before[name]["ns"] + NOISE_NS]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--slices", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=0.2)
    parser.add_argument("--culprit", default=ROOT / "build/release/userspace/culprit")
    parser.add_argument("--json")
    parser.add_argument("--against")
    arguments = parser.parse_args()
    types = programs.hook_types({row.hook for rows in ROWS.values() for row in rows})
    stats = programs.enable_stats()
    over, figures = False, {}
    print(f"{'load':12} {'program':18} {'hook':22} {'runs':>10} {'ns':>6} {'least':>6} {'record':>6} {'budget':>7}")
    for (load, row), slices in measure(arguments, types).items():
        if not slices:
            print(f"{load:12} {row.program:18} {row.hook:22} {'too few':>10}")
            continue
        ns = statistics.median(one[1] for one in slices)
        over = over or ns > row.budget
        figures[f"{load} {row.program}"] = {"ns": round(ns, 1), "budget": row.budget}
        floor = f"{statistics.median(one[2] for one in slices):.0f}" if row.record else ""
        print(f"{load:12} {row.program:18} {row.hook:22} {sum(one[0] for one in slices):>10} {ns:6.1f} "
              f"{min(one[1] for one in slices):6.1f} {floor:>6} {row.budget:7} {'over' if ns > row.budget else 'ok'}")
    os.close(stats)
    if arguments.json:
        pathlib.Path(arguments.json).write_text(json.dumps({"cost": figures}, indent=1) + "\n")
    slower = dearer(figures, arguments.against) if arguments.against else []
    for name in slower:
        print(f"{name}: dearer than in {arguments.against}")
    return int(over or bool(slower))


if __name__ == "__main__":
    sys.exit(main())
