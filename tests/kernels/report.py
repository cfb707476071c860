# SPDX-License-Identifier: MIT
"""What the guests' results come to: a table, and what is wrong, measured by what instructions.json and states.json remember."""
import dataclasses
import json
import pathlib
import re

HERE = pathlib.Path(__file__).resolve().parent
README = HERE.parents[1] / "README.md"
MARKS = ("<!-- kernels: written by tests/kernels/run.py --readme -->", "<!-- /kernels -->")
INSTRUCTIONS, STATES = HERE / "instructions.json", HERE / "states.json"
GROWTH = 1.1  # a program may grow by a tenth
RANK = {"on": 0, "degraded": 1, "off": 2}


def guests():
    """The list: each kernel with the steps of all, then the special ones."""
    listed = json.loads((HERE / "kernels.json").read_text())
    every = [{**entry, "kernel": entry["name"], "steps": listed["steps"], "about": "kernel of " + entry["suites"][-1]}
             for entry in listed["kernels"]]
    return every + listed["guests"]


@dataclasses.dataclass
class Row:
    """One guest."""
    name: str
    release: str = ""
    seconds: float = 0
    results: dict = dataclasses.field(default_factory=dict)
    skipped: str = ""
    broken: str = ""

    def signals(self):
        return {signal["name"]: signal for signal in self.results.get("doctor", {}).get("report", {}).get("signals", [])}

    def instructions(self):
        return self.results.get("doctor", {}).get("instructions", {})

    def outcomes(self):
        return [one for value in self.results.values() if isinstance(value, list) for one in value if isinstance(one, dict)]

    def rss_mb(self):
        return self.results.get("cost", {}).get("rss_bytes", 0) / 1e6

    def map_mb(self):
        return self.results.get("cost", {}).get("map_bytes", 0) / 1e6

    def start_ms(self):
        return self.results.get("doctor", {}).get("report", {}).get("start_ms", 0)


def remembered(path):
    return json.loads(path.read_text()) if path.exists() else {}


def problems(row):
    """Sentences; none when all is well."""
    if row.broken:
        return [row.broken]
    found = [f"{step}: {value['error']}" for step, value in row.results.items() if isinstance(value, dict) and "error" in value]
    found += [f"{one['name']}: {one['result']}: {one['why']}" for one in row.outcomes() if one["result"] not in ("ok", "skip")]
    found += [f"kernel log: {line}" for line in row.results.get("kernel_log", [])]
    counts = remembered(INSTRUCTIONS)
    for program, count in row.instructions().items():
        before = counts.get(program, {}).get(row.name)
        if before and count > before * GROWTH:
            found.append(f"{program}: the verifier goes through {count} instructions, {before} are remembered")
    states = remembered(STATES)
    for name, signal in row.signals().items():
        before = states.get(name, {}).get(row.name)
        if before and RANK.get(signal["state"], 3) > RANK[before]:
            found.append(f"signal {name} is {signal['state']}, was {before}: {'; '.join(signal['why'])}")
    return found


def line(row):
    """One guest, for the person who waits."""
    if row.skipped:
        return f"{row.name:10} skipped: {row.skipped}"
    wrong = problems(row)
    outcomes = [one["result"] for one in row.outcomes()]
    states = [signal["state"] for signal in row.signals().values()]
    failed = len(outcomes) - outcomes.count("ok") - outcomes.count("skip")
    told = [f"{row.name:10} {row.release:28} {'ok' if not wrong else 'FAILED':6} {row.seconds:4.0f} s",
            f"signals {states.count('on')} on {states.count('degraded')} degraded {states.count('off')} off",
            f"tests {outcomes.count('ok')} ok {outcomes.count('skip')} skipped {failed} failed",
            f"start {row.start_ms():.0f} ms, {row.rss_mb():.1f} MB, maps {row.map_mb():.1f} MB"]
    return "  ".join(told) + "".join(f"\n    {sentence}" for sentence in wrong)


def _columns(rows):
    return [row for row in rows if row.signals()]


def _short(release):
    return re.match(r"[\d.]+", release)[0].rstrip(".") if release else ""


def table(rows):
    """Markdown: signal x kernel, with the reasons below."""
    rows = _columns(rows)
    if not rows:
        return ""
    names = list(rows[0].signals())
    notes = []
    out = ["| signal | " + " | ".join(row.name if row.name in _short(row.release) else f"{row.name}: {_short(row.release)}"
                                      for row in rows) + " |", "|---" * (len(rows) + 1) + "|"]
    for name in names:
        cells = [name]
        for row in rows:
            signal = row.signals()[name]
            marks = []
            for why in signal["why"]:
                if (name, why) not in notes:
                    notes.append((name, why))
                marks.append(str(notes.index((name, why)) + 1))
            cells.append(signal["state"] + (f" ({', '.join(marks)})" if marks else ""))
        out.append("| " + " | ".join(cells) + " |")
    most = [max(row.instructions().values(), default=0) for row in rows]
    for what, figures in (("verifier: most instructions of a program", [f"{count:,}" for count in most]),
                          ("start with --debug, at 2 ns per instruction", [f"{row.start_ms() / 1000:.1f} s" for row in rows]),
                          ("memory of the process", [f"{row.rss_mb():.1f} MB" for row in rows]),
                          ("memory of the maps (before 6.4: as if full)", [f"{row.map_mb():.1f} MB" for row in rows])):
        out.append(f"| {what} | {' | '.join(figures)} |")
    return "\n".join(out + [""] + [f"{number}. {name}: {why}" for number, (name, why) in enumerate(notes, 1)])


def _merge(path, found):
    """{thing: {kernel: value}}; what was not measured now stays."""
    known = remembered(path)
    for thing, kernel, value in found:
        known.setdefault(thing, {})[kernel] = value
    path.write_text(json.dumps({thing: known[thing] for thing in sorted(known)}, indent=1) + "\n")


def record(rows):
    rows = _columns(rows)
    _merge(INSTRUCTIONS, [(program, row.name, count) for row in rows for program, count in row.instructions().items()])
    _merge(STATES, [(name, row.name, signal["state"]) for row in rows for name, signal in row.signals().items()])


def write_readme(rows):
    before, rest = README.read_text().split(MARKS[0])
    README.write_text(f"{before}{MARKS[0]}\n{table(rows)}\n{MARKS[1]}{rest.split(MARKS[1])[1]}")
