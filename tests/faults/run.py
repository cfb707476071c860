#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Does culprit name real faults, and stay silent on healthy hosts? Each scenario is caused in network namespaces of its
own; culprit watches the host, and what it says is compared with the truth.

exit: 0 all right, 1 something was misjudged, 2 wrong usage, 77 nothing could be made here"""
import argparse
import dataclasses
import fnmatch
import importlib
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from stage import innocent, judge  # noqa: E402
from stage.process import until  # noqa: E402
from stage.scenario import SCENARIOS, Skip  # noqa: E402
from stage.world import World  # noqa: E402

RECORDED = ("slow-accept", "never-closes", "closed-port", "slow-datagram-reader", "slow-tunnel-reader", "peers-keep-open",
            "no-name-server", "server-aborts", "full-buckets", "client-aborts", "files-nearly-used-up")
EFFECT_SECONDS = 15  # a fault that is not in effect by then is an error of the scenario


def load_scenarios():
    for path in sorted(HERE.glob("faults_*.py")) + sorted(HERE.glob("healthy_*.py")):
        importlib.import_module(path.stem)


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", action="store_true", help="say which scenarios there are")
    parser.add_argument("--only", action="append", metavar="PATTERN",
                        help="name, finding or family of a scenario, * and ? allowed; may be repeated")
    parser.add_argument("--short", action="store_true", help="the selection that runs in CI")
    parser.add_argument("--seed", type=int, help="of the first run (default: a random one)")
    parser.add_argument("--repeat", type=int, default=1, metavar="N", help="each N times, the seed growing by one")
    parser.add_argument("--seconds", type=int, default=10, help="how long culprit watches")
    parser.add_argument("--late", action="store_true", help="make each scenario while culprit watches, not before")
    parser.add_argument("--culprit", metavar="PATH",
                        default=os.environ.get("CULPRIT_BINARY", HERE.parents[1] / "build/debug/userspace/culprit"))
    parser.add_argument("--output", choices=["table", "json"], default="table")
    parser.add_argument("--keep", type=pathlib.Path, metavar="DIR", help="keep each verdict there")
    parser.add_argument("--save", type=pathlib.Path, metavar="DIR", help="record small window streams there; without --only those that a unit test replays")
    args = parser.parse_args()
    for folder in filter(None, (args.keep, args.save)):
        folder.mkdir(parents=True, exist_ok=True)
    return args


def chosen(args):
    def matches(scenario):
        if args.save and not args.only:
            return scenario.name in RECORDED
        if not args.only:
            return not scenario.heavy and (scenario.short or not args.short)
        if scenario.heavy:
            return scenario.name in args.only
        words = (scenario.name, scenario.family, *scenario.accepts)
        return any(fnmatch.fnmatch(word, pattern) for pattern in args.only for word in words)
    return [scenario for scenario in SCENARIOS.values() if matches(scenario)]


def in_effect(truth):
    if truth.proof:
        before = truth.proof()
        return until(lambda: truth.proof() >= before + truth.least, EFFECT_SECONDS)
    if truth.ready:
        return until(truth.ready, EFFECT_SECONDS)
    time.sleep(1)
    return True


def diagnose(args, watching, extra):
    """The verdict, and how long it took; calls `watching` when culprit does watch."""
    command = [args.culprit, "diagnose", "--for", f"{args.seconds}s", "--output", "json", *extra]
    started = time.monotonic()
    with tempfile.TemporaryFile("w+") as errors, subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True) as culprit:
        try:
            if watching:
                time.sleep(1.5)  # by now it watches
                watching()
            text, _ = culprit.communicate(timeout=args.seconds + 30)
        finally:
            culprit.kill()
        seconds = time.monotonic() - started
        errors.seek(0)
        if culprit.returncode not in (0, 1, 3) or not text:
            raise RuntimeError(f"culprit ended with {culprit.returncode}: {errors.read()[-300:].strip()}")
    return json.loads(text), seconds


def keep(args, row, verdict):
    (args.keep / f"{row.scenario}.{row.seed}.json").write_text(json.dumps(verdict, indent=1), encoding="utf-8")


def recording(path, truth):
    """The arguments that save windows of the namespace where it happens."""
    places = truth.places()
    return ["--save", path, *(["--netns", str(places[0].inum)] if places else [])]


def trim(path, truth):
    """Leaves out counters of namespaces that have nothing to do with it, and where programs are on this machine."""
    kept = {net.inum for net in truth.places()}
    windows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for window in windows:
        window["counters"] = [told for told in window["counters"] if told["netns"] in kept]
        for process in window["names"]["processes"]:
            process[3:6] = ["/usr/bin/python3", process[2], "/"]
    path.write_text("".join(json.dumps(window, separators=(",", ":")) + "\n" for window in windows), encoding="utf-8")


def note_truth(path, scenario, truth):
    """What the tests that replay it expect: the findings of which one comes first, and the name of the process."""
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    guilty = truth.culprits()[0]
    known[scenario.name] = {"accepts": scenario.accepts, "process": guilty and guilty.name}
    path.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")


def stage(args, scenario, world, row):
    """Causes it, watches it, judges it."""
    if not args.save:
        innocent.neighbours(world)
    truth = scenario.build(world)
    if not in_effect(truth):
        raise RuntimeError("the scenario did not come into effect")
    before = truth.proof and truth.proof()
    saved = args.save and args.save / f"{scenario.name}.ndjson"
    verdict, row.seconds = diagnose(args, truth.watching, recording(saved, truth) if saved else [])
    row.proven = not truth.proof or truth.proof() > before
    if saved:
        trim(saved, truth)
        note_truth(args.save / "truth.json", scenario, truth)
    return truth, verdict


def stage_late(args, scenario, world, row):
    """The same, but culprit watches before there is anything to see."""
    innocent.neighbours(world)
    made = []
    def build():
        made.append(scenario.build(world))
        if made[0].watching:
            made[0].watching()
    verdict, row.seconds = diagnose(args, build, [])
    return made[0], verdict


def play(args, scenario, seed):
    row = judge.Row(scenario.name, str(seed), scenario.healthy)
    world = World(f"{scenario.name}/{seed}", scenario.v6)
    try:
        truth, verdict = (stage_late if args.late else stage)(args, scenario, world, row)
        judge.judge(row, scenario, truth, world, verdict)
        if args.keep:
            keep(args, row, verdict)
    except Skip as skip:
        row.skipped = str(skip)
    except Exception as error:  # one scenario that fails must not end the others
        row.error = f"{type(error).__name__}: {error}"
    finally:
        world.close()
    return row


def show_list():
    for scenario in SCENARIOS.values():
        told = (scenario.build.__doc__ or "").strip().split("\n")[0]
        marks = " short" * scenario.short + " heavy" * scenario.heavy
        print(f"{scenario.name:26} {','.join(scenario.accepts) or 'healthy':24} {told}{' [' + marks.strip() + ']' if marks else ''}")


def report(args, rows):
    sums = judge.totals(rows)
    if args.output == "json":
        print(json.dumps({"rows": [{**dataclasses.asdict(row), "right": row.right} for row in rows], "totals": sums}, indent=1))
        return
    print()
    for name, value in sums.items():
        print(f"{name:36} {value}")


def main():
    args = options()
    load_scenarios()
    if args.list:
        show_list()
        return 0
    if os.geteuid() != 0:
        print("SKIP: the scenarios need root: namespaces, devices, firewalls")
        return 77
    if not os.access(args.culprit, os.X_OK):
        print(f"{args.culprit} cannot be run: build it, or say where it is with --culprit", file=sys.stderr)
        return 2
    scenarios = chosen(args)
    if not scenarios:
        print("no scenario fits; see --list", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    seed = args.seed if args.seed is not None else random.randrange(10000)
    rows = []
    for number in range(args.repeat):
        for scenario in scenarios:
            rows.append(play(args, scenario, seed + number))
            if args.output == "table":
                print(judge.line(rows[-1]), flush=True)
    report(args, rows)
    if all(row.skipped for row in rows):
        print("SKIP: " + "; ".join(sorted({row.skipped for row in rows})))
        return 77
    return 0 if all(row.right for row in rows if not row.skipped) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
