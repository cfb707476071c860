#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Does culprit load and tell the truth on other kernels? Boots them in QEMU, without hardware support, and asks."""
import argparse
import concurrent.futures
import json
import os
import pathlib
import shutil
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import initramfs  # noqa: E402
import packages  # noqa: E402
import peer  # noqa: E402
import qemu  # noqa: E402
import report  # noqa: E402
from kernel import Kernel  # noqa: E402

ROOT = HERE.parents[1]
SKIPPED = 77
TRIES = 3  # of a guest that dies before its job ends


def options():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--list", action="store_true", help="say which guests there are")
    parser.add_argument("--only", action="append", metavar="NAME", help="a guest by its name; may be repeated")
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/debug", metavar="DIR", help="what is tested")
    parser.add_argument("--steps", metavar="STEP,STEP", help="only these of each guest's steps (default: all)")
    parser.add_argument("--jobs", type=int, default=1, help="guests at a time")
    parser.add_argument("--seconds", type=int, default=600, help="for one guest at most")
    parser.add_argument("--keep", type=pathlib.Path, metavar="DIR", help="keep logs and verdicts of the guests there")
    parser.add_argument("--from", dest="earlier", type=pathlib.Path, metavar="DIR", help="boot nothing: report what --keep kept there")
    parser.add_argument("--refresh", action="store_true", help="ask the mirror for newer kernels than those in the cache")
    parser.add_argument("--record", action="store_true", help="take these instruction counts as the measure from now on")
    parser.add_argument("--readme", action="store_true", help="write the table into the README")
    return parser.parse_args()


def note(text):
    print(f"kernels: {text}", file=sys.stderr, flush=True)


def userland(build, scratch):
    base = initramfs.Userland(scratch)
    for name, source in {"culprit": "userspace/culprit", "live_tests": "tests/live_tests", "bpf_tests": "tests/bpf_tests"}.items():
        if not (build / source).exists():
            raise packages.Unavailable(f"{build / source} is not built")
        base.binary(f"culprit/{name}", build / source)
    base.tree("culprit/tests/faults", ROOT / "tests/faults", lambda path: path.name not in ("recordings", "__pycache__"))
    path = scratch / "userland.cpio"
    with open(path, "wb") as out:
        base.write(out)
    return path


def image(base, kernel, plan, path):
    """The archive of one guest: that of all, its kernel's modules, its plan."""
    own = initramfs.modules(kernel)
    own.data("plan.json", json.dumps(plan).encode())
    with open(path, "wb") as out:
        with open(base, "rb") as common:
            shutil.copyfileobj(common, out)
        own.write(out)


def boot(command, base, entry, args, folder):
    """One guest's row of the report."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        kernel = Kernel(entry["kernel"], entry.get("flavour", "cloud"), args.refresh)
    except packages.Unavailable as error:
        return report.Row(entry["name"], skipped=str(error))
    archive = folder / "initramfs.cpio"
    wanted = args.steps and args.steps.split(",")
    image(base, kernel, [step for step in entry["steps"] if not wanted or step["step"] in wanted], archive)
    for _ in range(TRIES):
        with peer.Peer(entry.get("peer")) as other:
            guest = qemu.Guest(command, folder, kernel, archive, {**entry, "devices": other.devices()})
            status = guest.run(args.seconds)
        if status is not None or guest.seconds >= args.seconds:
            break
    archive.unlink()
    results = folder / "results/results.json"
    if status is None or not results.exists():
        return report.Row(entry["name"], release=kernel.release, seconds=guest.seconds,
                          broken=f"the guest did not come to an end: {guest.words()}")
    return report.Row(entry["name"], release=kernel.release, seconds=guest.seconds, results=json.loads(results.read_text()))


def reread(entry, folder):
    """The row of an earlier run."""
    results = folder / entry["name"] / "results/results.json"
    if not results.exists():
        return report.Row(entry["name"], skipped="nothing was kept")
    told = json.loads(results.read_text())
    return report.Row(entry["name"], release=told["release"], results=told)


def chosen(args):
    guests = report.guests()
    unknown = set(args.only or []) - {entry["name"] for entry in guests}
    if unknown:
        sys.exit(f"no guest {', '.join(sorted(unknown))}; see --list")
    return [entry for entry in guests if not args.only or entry["name"] in args.only]


def boot_all(args, scratch):
    """The rows, as they come."""
    command = qemu.find(note)
    base = userland(args.build, scratch)
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        jobs = [pool.submit(boot, command, base, entry, args, (args.keep or scratch) / entry["name"]) for entry in chosen(args)]
        for job in jobs:
            yield job.result()


def run(args, scratch):
    rows = []
    try:
        for row in [reread(entry, args.earlier) for entry in chosen(args)] if args.earlier else boot_all(args, scratch):
            rows.append(row)
            print(report.line(row), flush=True)
    except packages.Unavailable as error:
        print(f"SKIP: {error}")
        return SKIPPED
    if args.record:
        report.record(rows)
    if args.readme:
        report.write_readme(rows)
    print(report.table(rows))
    if all(row.skipped for row in rows):
        print("SKIP: " + "; ".join(sorted({row.skipped for row in rows})))
        return SKIPPED
    return 1 if any(report.problems(row) for row in rows) else 0


def main():
    args = options()
    if args.list:
        for entry in report.guests():
            print(f"{entry['name']:14} {entry.get('about', '')}")
        return 0
    with tempfile.TemporaryDirectory(prefix="culprit-kernels-") as scratch:
        return run(args, pathlib.Path(scratch))


if __name__ == "__main__":
    sys.exit(main())
