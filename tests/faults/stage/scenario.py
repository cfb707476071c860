# SPDX-License-Identifier: MIT
"""What a scenario is, and the list of them all."""
import dataclasses
import typing

ANYONE = object()  # which process is to blame does not matter, or is not one answer


class Skip(Exception):
    """This machine cannot make the scenario; the text says why."""


@dataclasses.dataclass
class Truth:
    """What is really wrong in a scenario that stands."""
    blame: typing.Any = None            # a process, several of which one is right, None for nobody, ANYONE
    place: typing.Any = ()              # namespaces of which one is to be named; () does not matter
    device: typing.Any = None           # the device to be named, if one is
    hurts: typing.Any = None            # a process that must be among those who suffer
    proof: typing.Callable = None       # a number that grows while the fault lasts
    least: int = 3                      # by how much before culprit starts
    ready: typing.Callable = None       # or: a state that is there when the fault is
    watching: typing.Callable = None    # what happens once culprit watches

    def places(self):
        return list(self.place) if isinstance(self.place, (list, tuple)) else [self.place]

    def culprits(self):
        return list(self.blame) if isinstance(self.blame, (list, tuple)) else [self.blame]


@dataclasses.dataclass
class Scenario:
    name: str
    build: typing.Callable              # World -> Truth
    accepts: tuple                      # findings of which one stands first; () for a healthy host
    also: tuple = ()                    # further findings that are true besides
    forbidden: tuple = ()               # findings that would be a misdiagnosis
    severities: tuple = ("warning", "critical")
    several: bool = False               # all of `accepts` are there, not one of them
    short: bool = False                 # in the selection for CI
    v6: bool = True                     # can also be made with IPv6
    heavy: bool = False                 # disturbs or loads the whole host: only when named
    family: str = ""

    @property
    def healthy(self):
        return not self.accepts


SCENARIOS = {}


def add(build, accepts, **options):
    name = build.__name__.replace("_", "-")
    if name in SCENARIOS:
        raise ValueError(f"two scenarios are called {name}")
    SCENARIOS[name] = Scenario(name, build, accepts, family=build.__module__.rsplit(".", 1)[-1], **options)
    return build


def fault(*accepts, **options):
    """Decorates a function World -> Truth that causes one of these findings."""
    return lambda build: add(build, accepts, **options)


def healthy(**options):
    """Decorates a function World -> Truth that makes a host nothing is wrong with."""
    return lambda build: add(build, (), **options)


def grows(net, *counters):
    """A proof: the sum of these counters of the namespace."""
    return lambda: sum(net.counter(name) for name in counters)
