# SPDX-License-Identifier: MIT
"""The little networks in which faults are caused: namespaces, cables, routers, far paths.

A namespace has no name and is held by a process that dies with the runner, so nothing outlives a run however it ends."""
import collections
import ipaddress
import os
import random
import signal
import subprocess
import sys

from stage import wire
from stage.process import Process, enter_netns, new_netns, until
from stage.stranger import Stranger

NAMES = """orders-api billingd img-resizer ledger catalog authz geo-lookup mailrelay pricing-svc session-store
search-node cart-web feed-builder notifier report-gen player-gw invoice-pdf thumbs rates-feed crm-sync loginsvc
export-job audit-sink vault-agent queue-worker stock-sync webhooks tiles parcel-track chatd scraper-eu sensor-hub
payments-gw fraud-check ads-bidder video-edge kvstore cfg-agent metrics-push backup-agent etl-load rpc-broker
docs-render quota-svc tax-calc push-gw ws-front matchmaker lobby telemetry-rx dnsmock archive-io indexer promo-web
sso-proxy upload-svc media-probe replica-rx shardd fleet-ctl edge-cache map-api""".split()
DEVICES = ["eth", "ens", "enp", "lan", "wan", "net", "up", "port"]

Link = collections.namedtuple("Link", "a b dev_a dev_b addr_a addr_b")


class Net:
    """A network namespace. `addr` and `dev` are those of its first link."""

    def __init__(self, world):
        self.world = world
        self.addr = self.dev = None
        reader, writer = os.pipe()
        self.holder = Process("pause", 0, self._hold, writer)
        os.close(writer)
        os.read(reader, 1)
        os.close(reader)
        self.inum = os.stat(f"/proc/{self.holder.pid}/ns/net").st_ino
        self.sh("ip link set lo up")
        self.sysctl("net.ipv6.conf.default.accept_dad", 0)

    @staticmethod
    def _hold(writer):
        new_netns()
        os.write(writer, b".")
        while True:
            signal.pause()

    def sh(self, script, check=True):
        """Runs a shell script inside; what it prints."""
        done = subprocess.run(["nsenter", f"--net=/proc/{self.holder.pid}/ns/net", "sh", "-ec", script],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=30, check=False)
        if check and done.returncode != 0:
            raise RuntimeError(f"'{script}' ended with {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def sysctl(self, key, value):
        self.sh(f"echo '{value}' > /proc/sys/{key.replace('.', '/')}")

    def start(self, work, *args, name=None, **kwargs):
        """Starts a process in here that runs work(*args, **kwargs)."""
        def inside():
            enter_netns(self.holder.pid)
            work(*args, **kwargs)
        return self.world.start(inside, name)

    def proc(self, name):
        with open(f"/proc/{self.holder.pid}/net/{name}", encoding="ascii") as file:
            return file.read()

    def counter(self, name):
        """A counter by its name, for example Tcp.RetransSegs."""
        group, field = name.split(".")
        for file in ("snmp", "netstat"):
            lines = self.proc(file).splitlines()
            for names, values in zip(lines[::2], lines[1::2]):
                if names.startswith(group + ":") and field in names.split():
                    return int(values.split()[names.split().index(field)])
        raise KeyError(name)

    def serves(self, port, kinds=("tcp", "tcp6", "udp", "udp6")):
        """Whether a socket is bound to that port, and listens if it is one of TCP."""
        for kind in kinds:
            for line in self.proc(kind).splitlines()[1:]:
                _, local, _, state = line.split()[:4]
                if int(local.rsplit(":", 1)[1], 16) == port and (state == "0A" or kind.startswith("udp")):
                    return True
        return False


class World:
    """All of one scenario. Everything that varies between two runs comes from its seed."""

    def __init__(self, seed, v6_allowed=True):
        self.seed = seed
        self.random = random.Random(seed)
        self.v6 = v6_allowed and self.random.random() < 0.35
        self.nets, self.processes, self.cleanups = [], [], []
        self.addresses, self.ports = set(), set()
        self.names = self.random.sample(NAMES, len(NAMES))

    # choices

    def pick(self, *choices):
        return self.random.choice(choices)

    def between(self, low, high):
        """A whole number, both ends included, or any number between two that are not whole."""
        if isinstance(low, int) and isinstance(high, int):
            return self.random.randint(low, high)
        return self.random.uniform(low, high)

    def port(self):
        """A port no other service of this world has, below those of clients."""
        while True:
            port = self.random.choice([80, 443, 3306, 5432, 6379, 8080, 9092, self.random.randint(1024, 30000)])
            if port not in self.ports:
                self.ports.add(port)
                return port

    def device(self, net):
        taken = net.proc("dev")
        while True:
            name = self.random.choice(DEVICES) + str(self.random.randint(0, 99))
            if name + ":" not in taken:
                return name

    def subnet(self):
        """Two addresses of a network nobody else uses, and the length of its prefix."""
        if self.v6:
            base = ipaddress.ip_address("fd00::") + (self.random.getrandbits(56) << 64)
            pair, prefix = (str(base + 1), str(base + self.random.randint(2, 200))), 64
        else:
            top = self.random.choice(["10.0.0.0", "172.16.0.0", "198.18.0.0"])
            room = {"10.0.0.0": 16, "172.16.0.0": 12, "198.18.0.0": 9}[top]
            base = ipaddress.ip_address(top) + (self.random.getrandbits(room) << 8)
            pair, prefix = (str(base + 1), str(base + self.random.randint(2, 250))), 24
        self.addresses.update(pair)
        return pair, prefix

    # building

    def net(self):
        made = Net(self)
        self.nets.append(made)
        return made

    def start(self, work, name=None):
        number = len(self.processes)
        made = Process(name or (self.names.pop() if self.names else f"worker-{number}"), f"{self.seed}/{number}", work)
        self.processes.append(made)
        return made

    def _address(self, net, dev, addr, prefix):
        net.sh(f"ip link set {dev} up; ip addr add {addr}/{prefix} dev {dev}{' nodad' if ':' in addr else ''}")
        if net.addr is None:
            net.addr, net.dev = addr, dev

    def join(self, a, b):
        """A cable between two namespaces, with addresses at both ends."""
        dev_a, dev_b = self.device(a), self.device(b)
        a.sh(f"ip link add {dev_a} type veth peer name {dev_b} netns {b.holder.pid}")
        (addr_a, addr_b), prefix = self.subnet()
        self._address(a, dev_a, addr_a, prefix)
        self._address(b, dev_b, addr_b, prefix)
        return Link(a, b, dev_a, dev_b, addr_a, addr_b)

    def pair(self):
        return self.join(self.net(), self.net())

    def routed(self):
        """client - router - server: the two links."""
        client, router, server = self.net(), self.net(), self.net()
        one, two = self.join(client, router), self.join(router, server)
        router.sysctl("net.ipv4.ip_forward", 1)
        router.sysctl("net.ipv6.conf.all.forwarding", 1)
        client.sh(f"ip route add default via {one.addr_b}")
        server.sh(f"ip route add default via {two.addr_a}")
        return one, two

    def lan(self, count):
        """That many hosts at one bridge, which is a namespace of its own: (bridge, hosts)."""
        bridge, hosts = self.net(), [self.net() for _ in range(count)]
        bridge.sh("ip link add br0 type bridge forward_delay 0; ip link set br0 up")
        (first, _), prefix = self.subnet()
        for number, host in enumerate(hosts):
            dev, port = self.device(host), f"p{number}"
            bridge.sh(f"ip link add {port} type veth peer name {dev} netns {host.holder.pid};"
                      f"ip link set {port} master br0 up")
            addr = str(ipaddress.ip_address(first) + number)
            self.addresses.add(addr)
            self._address(host, dev, addr, prefix)
        return bridge, hosts

    def far(self, there=None, back=None):
        """Two hosts with a path between them that no kernel sees: packets pass through a process."""
        a, b = self.net(), self.net()
        dev_a, dev_b = self.device(a), self.device(b)
        back = back or there or wire.Way()
        carrier = self.start(lambda: wire.carry((a.holder.pid, dev_a), (b.holder.pid, dev_b),
                                                there or wire.Way(), back), name="far-path")
        (addr_a, addr_b), _ = self.subnet()
        for net, dev, own, other in ((a, dev_a, addr_a, addr_b), (b, dev_b, addr_b, addr_a)):
            if not until(lambda n=net, d=dev: f"{d}:" in n.proc("dev"), 3):
                raise RuntimeError("the far path did not start")
            net.sh(f"ip link set {dev} txqueuelen 10000 up; ip addr add {own} peer {other} dev {dev}{' nodad' if self.v6 else ''}")
            net.addr, net.dev = own, dev
        return Link(a, b, dev_a, dev_b, addr_a, addr_b), carrier

    def stranger(self, **kwargs):
        """A far path with another host on its way that no kernel knows: (link, address of that host)."""
        other = f"198.51.100.{self.between(2, 250)}"
        self.addresses.add(other)
        link, _ = self.far(wire.Way(delay=0.01, answer=Stranger(other, **kwargs).answer), wire.Way(delay=0.01))
        link.a.sh(f"ip route add {other} dev {link.dev_a}")
        return link, other

    def serve(self, net, work, port, *args, addr=None, **kwargs):
        """Starts a server and waits until its port is there."""
        made = net.start(work, addr or net.addr, port, *args, **kwargs)
        if not until(lambda: net.serves(port), 5):
            raise RuntimeError(f"{made.name} does not listen on port {port}")
        return made

    # ending

    def on_end(self, work):
        self.cleanups.append(work)

    def close(self):
        for process in reversed(self.processes):
            process.end()
        for net in self.nets:
            net.holder.end()
        for work in reversed(self.cleanups):
            try:
                work()
            except OSError as error:
                print(f"clean-up: {error}", file=sys.stderr)
