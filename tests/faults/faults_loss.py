# SPDX-License-Identifier: MIT
"""What happens to packets on the way, beyond this host's sight."""
from stage import actors, innocent
from stage.scenario import fault, grows, Truth
from stage.wire import Way

NOT_LOSS = ("firewall-drop", "local-drop", "listen-overflow", "qdisc-drop")


def busy(w, link, rate=(150_000, 600_000)):
    """Traffic on a far path: uploads at a rate and requests; (sender, service)."""
    innocent.services(w, link.a, link.b)
    port = w.port()
    service = w.serve(link.b, actors.server, port, actors.sink)
    sender = link.a.start(actors.crowd, w.between(2, 4), actors.upload, link.b.addr, port,
                          bytes_per_second=w.between(*rate), piece=32768)
    return sender, service


@fault("packet-loss", forbidden=NOT_LOSS, short=True)
def random_loss(w):
    """A few percent of the packets are lost on the path."""
    link, _ = w.far(Way(delay=w.between(0.005, 0.05), loss=w.between(0.03, 0.07)))
    sender, _ = busy(w, link)
    return Truth(None, hurts=sender, proof=grows(link.a, "Tcp.RetransSegs"))
