# SPDX-License-Identifier: MIT
"""Healthy hosts of every kind: nothing may be reported."""
from stage import actors, innocent
from stage.scenario import healthy, Truth


@healthy(short=True)
def idle(w):
    """Only what runs beside each fault."""
    return Truth()


@healthy(short=True)
def short_connections(w):
    """Thousands of short connections, all of them answered and closed."""
    link = w.pair()
    innocent.services(w, link.a, link.b)
    port, tally = w.port(), actors.Tally()
    w.serve(link.b, actors.quick_server, port, actors.answers())
    link.a.start(actors.clients, link.b.addr, port, count=3, per_second=400, reply=(100, 2000), tally=tally)
    return Truth(proof=tally.read, least=100)
