# SPDX-License-Identifier: MIT
"""Names that are not found, or not in time."""
import random

from stage import actors, innocent, names
from stage.scenario import fault, Truth

NOT_DNS = ("packet-loss", "firewall-drop", "udp-rcvbuf-overflow", "app-hang", "network-latency")
DOMAINS = ("example.org", "corp.example.net", "internal.example.com", "svc.example")


def resolver(w, behave, rate=(6, 20), search=()):
    """A name server and who asks it: (link, server, client)."""
    link = w.pair()
    innocent.services(w, link.a, link.b)
    server = w.serve(link.b, names.server, names.PORT, behave) if behave else None
    client = link.a.start(actors.crowd, w.between(2, 4), names.lookups, link.b.addr, w.between(*rate) / 3, w.pick(*DOMAINS), search)
    return link, server, client


def told(server, client, link):
    return Truth([server, client, None], place=(link.a, link.b), proof=lambda: sum(
        int(line.split()[1]) for line in link.a.proc("snmp6").splitlines() if line.startswith("Udp6OutDatagrams"))
        + link.a.counter("Udp.OutDatagrams"))


@fault("dns-slow", forbidden=(*NOT_DNS, "dns-timeout", "app-latency"))
def slow_names(w):
    """A name server answers late."""
    late = w.between(0.35, 0.9)
    link, server, client = resolver(w, names.always(delay=lambda: late * random.uniform(0.8, 1.2)))
    return told(server, client, link)


@fault("dns-timeout", forbidden=(*NOT_DNS, "dns-unreachable", "dns-slow"))
def silent_names(w):
    """A name server takes questions and does not answer most of them."""
    share = w.between(0.7, 1.0)
    link, server, client = resolver(w, lambda name: None if random.random() < share else (0.001, names.NOERROR, False))
    return told(server, client, link)


@fault("dns-servfail", forbidden=(*NOT_DNS, "dns-timeout", "dns-nxdomain"))
def failing_names(w):
    """A name server fails for most names."""
    share = w.between(0.6, 1.0)
    link, server, client = resolver(w, lambda name: (0.002, names.SERVFAIL if random.random() < share else names.NOERROR, False))
    return told(server, client, link)


@fault("dns-refused", forbidden=(*NOT_DNS, "dns-timeout", "dns-servfail"))
def refusing_names(w):
    """A name server refuses these clients."""
    link, server, client = resolver(w, names.always(names.REFUSED))
    return told(server, client, link)


@fault("dns-nxdomain", forbidden=(*NOT_DNS, "dns-timeout", "dns-servfail", "dns-search-amplification"))
def absent_names(w):
    """A process asks for names that do not exist, again and again."""
    link, server, client = resolver(w, names.always(names.NXDOMAIN), rate=(20, 40))
    return told(server, client, link)


@fault("dns-truncated", forbidden=(*NOT_DNS, "dns-timeout", "time-wait-growth"))
def long_answers(w):
    """Answers do not fit into a datagram: each question is asked again by TCP."""
    link, server, client = resolver(w, names.always(truncated=True))
    return told(server, client, link)


@fault("dns-unreachable", also=("udp-port-unreachable",), forbidden=(*NOT_DNS, "dns-timeout", "conn-refused"))
def no_name_server(w):
    """The configured name server is not there."""
    link, server, client = resolver(w, None)
    return told(server, client, link)


@fault("dns-search-amplification", also=("dns-nxdomain",), forbidden=(*NOT_DNS, "dns-timeout", "dns-servfail"))
def search_list(w):
    """A search list multiplies each lookup."""
    search = ("team.svc.cluster.example", "svc.cluster.example", "cluster.example", "lan.example")[:w.between(3, 4)]
    exists = lambda name: (0.001, names.NXDOMAIN if name.endswith(search) else names.NOERROR, False)  # noqa: E731
    link, server, client = resolver(w, exists, search=search)
    return told(server, client, link)
