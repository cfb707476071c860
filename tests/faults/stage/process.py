# SPDX-License-Identifier: MIT
"""Processes that live in a network namespace and die with the one that started them."""
import ctypes
import os
import random
import signal
import sys
import time
import traceback

CLONE_NEWNET = 0x40000000
PR_SET_PDEATHSIG = 1
PR_SET_NAME = 15
LIFE_SECONDS = 120  # no process of a scenario lives longer, whatever happens

libc = ctypes.CDLL(None, use_errno=True)


def checked(result, what):
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def enter_netns(pid):
    """Puts the calling thread into the network namespace of a process."""
    fd = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        checked(libc.setns(fd, CLONE_NEWNET), "setns")
    finally:
        os.close(fd)


def new_netns():
    checked(libc.unshare(CLONE_NEWNET), "unshare")


def set_name(name):
    libc.prctl(PR_SET_NAME, name.encode()[:15], 0, 0, 0)


class Process:
    """A child that runs a function; its name is what `ps` shows as comm."""

    def __init__(self, name, seed, work, *args, **kwargs):
        self.name = name
        parent = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            status = 1
            try:
                self._prepare(parent, seed)
                work(*args, **kwargs)
                status = 0
            except BaseException:  # nothing may return into the parent's code
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(status)

    def _prepare(self, parent, seed):
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before we asked to die with it
            os._exit(1)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        signal.alarm(LIFE_SECONDS)
        random.seed(f"{seed}/{self.name}")
        set_name(self.name)

    def signal(self, number):
        os.kill(self.pid, number)

    def end(self):
        """Kills it and waits for it; may be called again."""
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.pid = 0


def until(condition, seconds=8.0, step=0.05):
    """Whether the condition came true within that time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(step)
    return True
