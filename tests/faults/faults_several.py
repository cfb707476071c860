# SPDX-License-Identifier: MIT
"""Hosts with more than one trouble: each has to be named."""
import faults_closing
import faults_filter
import faults_link
import faults_listener
import faults_loss
from stage.scenario import ANYONE, fault, Truth


def together(w, *builds):
    """Builds faults side by side; in effect when all of them are."""
    truths = [build(w) for build in builds]
    counts = [truth.proof for truth in truths if truth.proof]
    before = [count() for count in counts]
    return Truth(ANYONE, ready=lambda: all(count() > start for count, start in zip(counts, before)))


@fault("listen-overflow", "packet-loss", several=True, forbidden=("syn-flood", "firewall-drop"))
def overflow_and_loss(w):
    """One service accepts too slowly, and a path to somewhere else loses packets."""
    return together(w, faults_listener.slow_accept, faults_loss.random_loss)


@fault("firewall-drop", "close-wait-leak", several=True, forbidden=("packet-loss", "listen-overflow"))
def filter_and_leak(w):
    """A firewall drops what one service needs, and another one leaks connections."""
    return together(w, faults_filter.firewall_drops_port, faults_closing.never_closes)


@fault("qdisc-latency", "conn-refused", several=True, also=("network-latency", "qdisc-drop"), forbidden=("packet-loss", "app-latency"))
def queue_and_refusal(w):
    """A deep queue delays one service, another one is not there."""
    return together(w, faults_link.bufferbloat, faults_listener.closed_port)
