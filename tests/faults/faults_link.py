# SPDX-License-Identifier: MIT
"""Cables, devices and the queues in front of them."""
import json
import os
import random
import socket
import time

from stage import actors, innocent, kernel
from stage.process import until
from stage.scenario import ANYONE, fault, Skip, Truth
from stage.wire import open_tun


def has_device(net, device):
    return lambda: device + ":" in net.proc("dev")


def queue_drops(net, device):
    """A proof: the packets the device's root qdisc dropped."""
    return lambda: json.loads(net.sh(f"tc -j -s qdisc show dev {device} root"))[0]["drops"]


def need_tun():
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        raise Skip("no TUN devices here")


@fault("link-down", forbidden=("packet-loss", "firewall-drop", "no-route", "neigh-failure"), v6=False)
def carrier_lost(w):
    """The other end of a cable is switched off; clients go on trying."""
    link = w.pair()
    innocent.services(w, link.a, link.b)
    client = link.a.start(actors.attempts, link.b.addr, w.port(), per_second=4)
    def off():
        link.b.sh(f"ip link set {link.dev_b} down")
    return Truth(ANYONE, place=(link.a, link.b), hurts=client, watching=off)


def switch_off(device, after):
    time.sleep(after)
    kernel.set_up(device, False)
    time.sleep(100)


@fault("link-down", forbidden=("packet-loss", "firewall-drop"), v6=False)
def taken_down(w):
    """A process of this host switches a device off that traffic uses."""
    link = w.pair()
    innocent.services(w, link.a, link.b)
    guilty = link.b.start(switch_off, link.dev_b, 3.5)
    return Truth(guilty, place=(link.a, link.b))


def flap(device, down, up):
    for _ in range(100):
        time.sleep(up * random.uniform(0.8, 1.2))
        kernel.set_up(device, False)
        time.sleep(down)
        kernel.set_up(device, True)


@fault("link-flap", forbidden=("packet-loss", "connect-timeout", "listen-overflow", "link-down"), v6=False, short=True)
def flapping(w):
    """A process switches a device off and on, over and over."""
    link = w.pair()
    innocent.services(w, link.a, link.b)
    side, device = w.pick((link.a, link.dev_a), (link.b, link.dev_b))
    guilty = side.start(flap, device, w.between(0.3, 0.9), w.between(0.9, 1.8))
    time.sleep(3)
    return Truth(guilty, place=(link.a, link.b))


@fault("nic-errors", also=("no-route",), forbidden=("packet-loss",))
def lost_tunnel(w):
    """A tunnel device has no way to its other end: what it is given ends in transmit errors."""
    link = w.pair()
    innocent.services(w, link.a, link.b)
    link.a.sh(f"ip link add vx5 type vxlan id {w.between(1, 9999)} dstport 4789 remote 192.0.2.77; ip link set vx5 up;"
              "ip addr add 10.254.8.1/24 dev vx5; ip neigh replace 10.254.8.2 lladdr 02:00:00:00:07:01 dev vx5")
    link.a.start(actors.udp_send, "10.254.8.2", w.port(), per_second=w.between(40, 150))
    return Truth(None, place=link.a, device="vx5")


def slow_tunnel(device, pause):
    fd = open_tun(device)
    os.set_blocking(fd, True)
    while True:
        os.read(fd, 65536)
        time.sleep(pause)


@fault("tx-ring-full", forbidden=("packet-loss", "qdisc-drop", "udp-rcvbuf-overflow"), v6=False)
def slow_tunnel_reader(w):
    """A VPN process reads its TUN device too slowly."""
    need_tun()
    link = w.pair()
    innocent.services(w, link.a, link.b)
    guilty = link.a.start(slow_tunnel, "vpn0", w.between(0.004, 0.02))
    if not until(has_device(link.a, "vpn0")):
        raise RuntimeError("no TUN device")
    link.a.sh("ip link set vpn0 txqueuelen 200 up; ip addr add 10.255.3.1 peer 10.255.3.2 dev vpn0")
    w.addresses.update(("10.255.3.1", "10.255.3.2"))
    link.a.start(actors.udp_send, "10.255.3.2", w.port(), per_second=w.between(800, 2000), burst=20, size=(200, 1200))
    return Truth(guilty, place=link.a, device="vpn0", proof=lambda: int(
        [line for line in link.a.proc("dev").splitlines() if "vpn0:" in line][0].split(":")[1].split()[11]))


def pinned(cpu, work, *args, **kwargs):
    os.sched_setaffinity(0, {cpu})
    work(*args, **kwargs)


def flood(addr, port):
    with socket.socket(actors.family(addr), socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, 32, 50_000_000)  # SO_SNDBUFFORCE: what waits in the backlog is charged to us
        end = time.monotonic() + 40
        while time.monotonic() < end:
            for _ in range(2000):
                try:
                    sock.sendto(bytes(60), (addr, port))
                except OSError:
                    pass


def backlog_drops():
    with open("/proc/net/softnet_stat", encoding="ascii") as file:
        return sum(int(line.split()[1], 16) for line in file)


@fault("softnet-drop", also=("udp-rcvbuf-overflow",), forbidden=("packet-loss", "local-drop"), heavy=True)
def backlog_overflow(w):
    """One CPU gets all packets and walks through thousands of rules for each."""
    if (os.cpu_count() or 1) < 2:
        raise Skip("needs two CPUs")
    link = w.pair()
    link.b.sh("{ echo 'table inet slow { chain c { type filter hook input priority 0;';"
              " seq -f 'udp length %.0f counter' 20001 32000; echo '}'; echo '}'; } | nft -f -")
    link.b.sh(f"unshare -m sh -c 'mount -t sysfs sysfs /sys && echo 2 > /sys/class/net/{link.dev_b}/queues/rx-0/rps_cpus'")
    port = w.port()
    w.serve(link.b, actors.udp_receive, port, rcvbuf=50_000_000)
    link.a.start(pinned, 0, flood, link.b.addr, port)
    return Truth(ANYONE, proof=backlog_drops, least=100)


@fault("vlan-mismatch", forbidden=("packet-loss", "firewall-drop", "listen-overflow", "neigh-failure"), v6=False)
def wrong_vlan(w):
    """One host tags its IP packets for a VLAN that the other one has not."""
    link = w.pair()
    port = w.port()
    w.serve(link.b, actors.server, port, actors.answers())
    link.a.start(actors.attempts, link.b.addr, port, per_second=5)
    time.sleep(0.5)
    # not ARP: a tagged question about an address is thrown away without a trace, and all that shows is its silence
    tag = (f"if (((struct __sk_buff *)ctx)->protocol == {socket.htons(0x0800):#x})"
           f" vlan_push(ctx, {socket.htons(0x8100):#x}, {w.between(2, 4000)}); return 0;")
    path = kernel.compile_program(w, "tc", "tagger", tag)
    link.a.sh(f"tc qdisc add dev {link.dev_a} clsact; tc filter add dev {link.dev_a} egress bpf da obj {path} sec tc")
    return Truth(None, place=link.b, device=link.dev_b)


@fault("mtu-mismatch", forbidden=("udp-rcvbuf-overflow", "packet-loss", "mtu-blackhole", "local-drop"))
def uneven_mtu(w):
    """One end of a cable takes longer frames than the other."""
    link = w.pair()
    innocent.services(w, link.a, link.b)
    link.b.sh(f"ip link set {link.dev_b} mtu {w.between(1290, 1400)}")
    port = w.port()
    w.serve(link.b, actors.udp_receive, port)
    link.a.start(actors.udp_send, link.b.addr, port, per_second=w.between(60, 200), size=(900, 1440))
    return Truth(None, place=(link.a, link.b))


@fault("qdisc-drop", also=("qdisc-latency",), forbidden=("packet-loss", "udp-rcvbuf-overflow", "local-drop"))
def shaper_overflows(w):
    """A shaper's short queue overflows under one process's datagrams."""
    link = w.pair()
    innocent.services(w, link.a, link.b)
    link.a.sh(f"tc qdisc add dev {link.dev_a} root tbf rate {w.between(3, 8)}mbit burst 8kb limit {w.between(20, 60)}kb")
    port = w.port()
    w.serve(link.b, actors.udp_receive, port, rcvbuf=4_000_000)
    guilty = link.a.start(actors.udp_send, link.b.addr, port, per_second=w.between(1200, 2500), size=(900, 1400), burst=10)
    return Truth(guilty, place=link.a, device=link.dev_a, proof=queue_drops(link.a, link.dev_a))


@fault("qdisc-drop", also=("qdisc-latency",), forbidden=("packet-loss", "local-drop"))
def uploads_overflow_queue(w):
    """Uploads of one process overflow the short queue of a router."""
    one, two = w.routed()
    client, router, server = one.a, one.b, two.b
    innocent.services(w, client, server)
    router.sh(f"tc qdisc add dev {two.dev_a} root tbf rate {w.between(8, 25)}mbit burst 10kb limit {w.between(15, 30)}kb")
    port = w.port()
    w.serve(server, actors.server, port, actors.sink)
    guilty = client.start(actors.crowd, w.between(4, 10), actors.upload, server.addr, port)
    return Truth(guilty, place=router, device=two.dev_a, proof=queue_drops(router, two.dev_a))


@fault("qdisc-latency", also=("network-latency", "qdisc-drop"), forbidden=("packet-loss", "app-latency"), short=True)
def bufferbloat(w):
    """A deep queue of a slow link stands full of one process's bulk traffic."""
    one, two = w.routed()
    client, router, server = one.a, one.b, two.b
    innocent.services(w, client, server)
    router.sh(f"tc qdisc add dev {two.dev_a} root tbf rate {w.between(5, 14)}mbit burst 15kb limit {w.between(600, 1500)}kb")
    port = w.port()
    w.serve(server, actors.server, port, actors.sink)
    guilty = client.start(actors.crowd, w.between(3, 6), actors.upload, server.addr, port,
                          setup=lambda s: actors.set_congestion(s, "cubic"))
    time.sleep(2)
    return Truth(guilty, place=router, device=two.dev_a)
