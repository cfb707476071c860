# SPDX-License-Identifier: MIT
"""Firewalls, programs and tables that take packets away on this host."""
from stage import actors, innocent
from stage.scenario import fault, grows, Truth


def nft(net, hook, rule, family="inet"):
    net.sh(f"nft 'add table {family} edge; add chain {family} edge guard {{ type filter hook {hook} priority 0; }};"
           f" add rule {family} edge guard {rule}'")


@fault("firewall-drop", forbidden=("packet-loss", "listen-overflow", "connect-timeout"), short=True)
def firewall_drops_port(w):
    """The server's firewall drops what goes to its port."""
    link = w.pair()
    innocent.services(w, link.a, link.b)
    port = w.port()
    w.serve(link.b, actors.server, port, actors.answers())
    nft(link.b, "input", f"tcp dport {port} counter drop")
    link.a.start(actors.attempts, link.b.addr, port, per_second=w.between(3, 15), timeout=4.0)
    return Truth(None, place=link.b, proof=grows(link.a, "TcpExt.TCPSynRetrans"))
