# SPDX-License-Identifier: MIT
"""The tools a bench compares: how each is started, when it is at work, and what it spends itself."""
import collections
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = os.sysconf("SC_PAGESIZE")

# parts: commands that run together, each with what it prints once it is at work
Tool = collections.namedtuple("Tool", "name parts")

BPFTRACE = """BEGIN { printf("ready\\n"); }
tracepoint:skb:kfree_skb { @[args->location, args->protocol] = count(); }
tracepoint:tcp:tcp_retransmit_skb { printf("%d %d\\n", args->sport, args->dport); }
tracepoint:tcp:tcp_send_reset { printf("reset\\n"); }
"""


def known(culprit):
    """Those that are installed. Their events go to a file, as in a recording."""
    drops = (["bpftrace", "-e", BPFTRACE], b"ready")
    tools = [
        Tool("culprit", [([str(culprit), "diagnose", "--for", "1h", "--output", "json", "--debug"], b"start used")]),
        Tool("tcplife + bpftrace", [(["tcplife"], b"LPORT"), drops]),
        Tool("tcpstates + bpftrace", [(["tcpstates"], b"OLDSTATE"), drops]),
        Tool("tcpdump", [(["tcpdump", "-i", "any", "-s", "96", "-w", "/dev/null"], b"listening on")]),
    ]
    return [tool for tool in tools if all(shutil.which(command[0]) for command, _ in tool.parts)]


def cpu_ns(pid):
    """CPU time of a process so far: its clock (man 2 clock_getres, CPU-time clocks)."""
    return time.clock_gettime_ns((~pid << 3) | 2)


def rss_bytes(pid):
    return int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE


class Running:
    """A tool at work, in a network namespace where it needs one."""

    def __init__(self, tool, netns):
        began = time.monotonic()
        self.children, self.outputs = [], []
        for command, _ in tool.parts:
            inside = ["nsenter", f"--net=/run/netns/{netns}"] if command[0] == "tcpdump" else []
            output = tempfile.TemporaryFile()
            self.outputs.append(output)
            self.children.append(subprocess.Popen(["stdbuf", "-oL"] + inside + command, stdout=output, stderr=output))
        try:
            for (command, word), output in zip(tool.parts, self.outputs):
                self.wait_for(command, word, output)
        except RuntimeError:
            self.stop()
            raise
        self.start_ms = 1000 * (time.monotonic() - began)

    @staticmethod
    def wait_for(command, word, output):
        for _ in range(4000):
            if word in os.pread(output.fileno(), 1 << 20, 0):
                return
            time.sleep(0.005)
        raise RuntimeError(f"{command[0]} did not start: {os.pread(output.fileno(), 500, 0).decode()}")

    def cpu_ns(self):
        return sum(cpu_ns(child.pid) for child in self.children)

    def rss_bytes(self):
        return sum(rss_bytes(child.pid) for child in self.children)

    def stop(self):
        """Milliseconds it took."""
        began = time.monotonic()
        for child in self.children:
            child.send_signal(signal.SIGINT)
        for child in self.children:
            child.wait()
        for output in self.outputs:
            output.close()
        return 1000 * (time.monotonic() - began)
