# SPDX-License-Identifier: MIT
"""Compares a verdict with the truth, and adds rows up to the confusion table."""
import dataclasses
import ipaddress

from stage.scenario import ANYONE

LOUD = ("warning", "critical")


@dataclasses.dataclass
class Row:
    scenario: str
    seed: str
    healthy: bool
    skipped: str = ""       # why it could not be made
    error: str = ""         # why there is no verdict
    first: str = ""         # the finding that stands first
    others: list = dataclasses.field(default_factory=list)
    foreign: list = dataclasses.field(default_factory=list)
    first_right: bool = False
    anywhere: bool = False
    process: str = ""       # "right", "wrong: NAME", "missing", or "-" where it does not matter
    place_right: bool = True
    forbidden: list = dataclasses.field(default_factory=list)
    extra: list = dataclasses.field(default_factory=list)
    proven: bool = True     # the fault lasted while it was watched
    seconds: float = 0.0

    @property
    def right(self):
        if self.error:
            return False
        if self.healthy:
            return not self.extra
        return self.first_right and self.anywhere and self.process in ("right", "-") and not self.forbidden


def host_of(end):
    """The address of "10.0.0.1:80", "[::1]:80" or a plain one; None when it is none."""
    text = end[1:end.index("]")] if end.startswith("[") else end
    for candidate in (text, text.rsplit(":", 1)[0]):
        try:
            return str(ipaddress.ip_address(candidate))
        except ValueError:
            continue
    return None


def belongs(finding, world):
    """Is it about the scenario, or about something else on this host?"""
    parties = [finding["culprit"]] * bool(finding["culprit"]) + finding["affected"]
    where = finding["where"]
    if {where["netns"], *(party["netns"] for party in parties)} & {net.inum for net in world.nets}:
        return True
    if {party["pid"] for party in parties} & {process.pid for process in world.processes}:
        return True
    hosts = {host_of(end) for end in (where["local"], where["remote"]) if end}
    return bool(hosts & world.addresses)


def process_verdict(found, truth):
    if truth.blame is ANYONE:
        return "-"
    named = found["culprit"] and found["culprit"]["pid"]
    wanted = [process.pid if process else None for process in truth.culprits()]
    if named in wanted:
        hurt = {party["pid"] for party in found["affected"]}
        if truth.hurts and truth.hurts.pid not in hurt:
            return "wrong: not " + truth.hurts.name
        return "right"
    return "missing" if named is None else "wrong: " + found["culprit"]["comm"]


def place_is_right(found, truth):
    nets = truth.places()
    if nets and found["where"]["netns"] not in [net.inum for net in nets]:
        return False
    return not truth.device or found["where"]["device"] == truth.device


def judge(row, scenario, truth, world, verdict):
    """Fills the row."""
    wanted = set(scenario.accepts)
    loud = [f for f in verdict["findings"] if f["severity"] in LOUD or (f["id"] in wanted and
                                                                       f["severity"] in scenario.severities)]
    own = [f for f in loud if belongs(f, world)]
    row.foreign = [f["id"] for f in loud if f not in own]
    ids = [f["id"] for f in own]
    row.first, row.others = (ids[0], ids[1:]) if ids else ("", [])
    row.extra = sorted(set(ids) - wanted - set(scenario.also))
    if scenario.healthy:
        return
    row.forbidden = sorted(set(ids) & set(scenario.forbidden))
    row.first_right = row.first in wanted
    hits = [f for f in own if f["id"] in wanted]
    row.anywhere = wanted <= set(ids) if scenario.several else bool(hits)
    verdicts = [process_verdict(f, truth) for f in hits]
    row.process = "right" if "right" in verdicts else (verdicts or ["missing"])[0]
    row.place_right = any(place_is_right(f, truth) for f in hits)


def mark(row):
    if row.skipped:
        return "skip"
    if row.error:
        return "ERROR"
    return ("ok" if row.right else "FALSE" if row.healthy else "MISS") + ("" if row.proven else "?")


def line(row):
    """One row of the table as text."""
    told = row.skipped or row.error
    if not told:
        told = " ".join(filter(None, [
            "" if row.healthy else f"process {row.process};", "place wrong;" if row.anywhere and not row.place_right else "",
            f"others {','.join(row.others)};" if row.others else "",
            f"FORBIDDEN {','.join(row.forbidden)};" if row.forbidden else "",
            f"foreign {','.join(sorted(set(row.foreign)))};" if row.foreign else ""]))
    return f"{mark(row):6} {row.scenario:26} {row.seed:>5}  {row.first or '-':22} {row.seconds:5.1f}s  {told}"


def share(part, whole):
    return f"{part}/{whole}" + (f" ({100 * part / whole:.0f} %)" if whole else "")


def totals(rows):
    """The figures under the table, by name."""
    done = [row for row in rows if not row.skipped]
    faults = [row for row in done if not row.healthy]
    twins = [row for row in done if row.healthy]
    asked = [row for row in faults if row.process != "-"]
    return {
        "right finding in first place": share(sum(row.first_right for row in faults), len(faults)),
        "right finding anywhere": share(sum(row.anywhere for row in faults), len(faults)),
        "right process": share(sum(row.process == "right" for row in asked), len(asked)),
        "right place": share(sum(row.anywhere and row.place_right for row in faults), len(faults)),
        "misdiagnosed": share(sum(bool(row.forbidden) for row in faults), len(faults)),
        "healthy hosts with a false alarm": share(sum(bool(row.extra) for row in twins), len(twins)),
        "no verdict": str(sum(bool(row.error) for row in done)),
        "could not be made": str(len(rows) - len(done)),
        "worst time to the verdict": f"{max((row.seconds for row in done), default=0):.1f} s",
    }
