# SPDX-License-Identifier: MIT
"""QEMU without hardware support: which one, and a machine that boots a kernel, runs a job and hands back what it left.

A machine has four serial ports: the kernel's console, what the job prints, a tar of its results, its exit status. So it needs
neither disk nor network nor a shared folder, which some kernels have no driver for."""
import io
import pathlib
import platform
import re
import shutil
import subprocess
import tarfile
import time

import packages

PORTS = ("console.txt", "log.txt", "results.tar", "status.txt")
BINARY = "qemu-system-x86_64"
# Before 8.1 code that a guest changes under way is run wrongly now and then: its kernel dies at boot.
SOUND = (8, 1)
APPEND = ("console=ttyS0 quiet panic=-1 8250.nr_uarts=4 tsc=unstable no_timer_check lpj=4000000 random.trust_cpu=on "
          "mitigations=off cgroup_no_v1=all")
# The guest's clock counts its instructions, 2 ns each, and leaps where it has nothing to do: what a test sees does not depend on
# how busy this machine is. Not with another end outside, which lives in our time.
VIRTUAL_TIME = ["-accel", "tcg,thread=single,tb-size=256", "-icount", "shift=1,sleep=off"]
REAL_TIME = ["-accel", "tcg,thread=multi,tb-size=256"]


def _version(binary, *options):
    told = re.search(r"version (\d+)\.(\d+)", packages.run(binary, *options, "--version", seconds=20))
    return (int(told[1]), int(told[2])) if told else (0, 0)


def _codename():
    return re.search(r"^VERSION_CODENAME=(\w+)", pathlib.Path("/etc/os-release").read_text(), re.MULTILINE)[1]


def _fetch(into):
    suite = packages.suite(f"{_codename()}-backports")
    for package in ("qemu-system-x86", "qemu-system-common", "qemu-system-data"):
        suite.unpack(package, into)


def find(note):
    """The command QEMU starts with: this machine's, or a sound one out of the backports of its release."""
    if platform.machine() != "x86_64":
        raise packages.Unavailable("the guests are amd64, and run this machine's programs")
    if not shutil.which(BINARY):
        raise packages.Unavailable(f"{BINARY} is not installed")
    if _version(BINARY) >= SOUND:
        return [BINARY]
    try:
        folder = packages.cached("qemu", False, _fetch)
        command = [str(folder / "usr/bin" / BINARY), "-L", str(folder / "usr/share/qemu"), "-L", "/usr/share/seabios"]
        if _version(command[0]) >= SOUND:
            return command
        reason = "the backports have none"
    except packages.Unavailable as error:
        reason = str(error)
    note(f"this QEMU is older than {SOUND[0]}.{SOUND[1]}: guests may die at boot and are tried again ({reason})")
    return [BINARY]


class Guest:
    """One run of one kernel."""

    def __init__(self, command, folder, kernel, initramfs, entry):
        self.folder = folder
        self.command = [
            *command, "-M", "pc,usb=off,vmport=off", "-cpu", "max", *(REAL_TIME if "peer" in entry else VIRTUAL_TIME),
            "-m", str(entry.get("memory_mb", 1024)), "-smp", entry.get("cpus", "2"), "-nodefaults", "-display", "none",
            "-no-reboot", "-no-user-config", "-kernel", str(kernel.image), "-initrd", str(initramfs),
            "-append", " ".join([APPEND, entry.get("append", "")]), *entry.get("devices", [])]
        for port in PORTS:
            self.command += ["-serial", f"file:{folder / port}"]

    def run(self, seconds):
        """Until it is off, at most so long; its job's exit status, None when it did not come to an end."""
        for port in PORTS:
            (self.folder / port).write_bytes(b"")
        began = time.monotonic()
        with open(self.folder / "qemu.txt", "wb") as errors, subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors) as machine:
            try:
                machine.wait(seconds)
            except subprocess.TimeoutExpired:
                pass
            finally:
                machine.kill()
        self.seconds = time.monotonic() - began
        status = re.search(r"STATUS (\d+)", (self.folder / "status.txt").read_text())
        if not status:
            return None
        self._unpack()
        return int(status[1])

    def _unpack(self):
        results = self.folder / "results"
        shutil.rmtree(results, ignore_errors=True)
        with tarfile.open(fileobj=io.BytesIO((self.folder / "results.tar").read_bytes())) as tar:
            tar.extractall(results)

    def words(self):
        """The last words of a guest that did not come to an end."""
        for name in ("console.txt", "log.txt", "qemu.txt"):
            text = (self.folder / name).read_bytes().decode("utf-8", "replace").strip()
            if text:
                return text.splitlines()[-1]
        return "it said nothing"
