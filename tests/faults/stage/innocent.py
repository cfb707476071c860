# SPDX-License-Identifier: MIT
"""Healthy services that run beside each fault: the verdict has to pick the guilty among them."""
from stage import actors


def services(world, client, server, rate=15):
    """A web service with kept and short connections, between two namespaces; (server, client)."""
    port = world.port()
    web = world.serve(server, actors.server, port, actors.answers())
    user = client.start(actors.clients, server.addr, port, count=world.between(1, 3), per_second=rate,
                        keep=world.pick(True, False), reply=(200, world.pick(2000, 20000)))
    return web, user


def telemetry(world, client, server):
    """Small datagrams that are read as they come."""
    port = world.port()
    world.serve(server, actors.udp_receive, port)
    client.start(actors.udp_send, server.addr, port, per_second=world.between(10, 60))


def neighbours(world):
    """Another pair of hosts that have nothing to do with the fault."""
    link = world.pair()
    services(world, link.a, link.b)
    if world.pick(True, False):
        services(world, link.b, link.a, rate=5)
    telemetry(world, link.a, link.b)
