# SPDX-License-Identifier: MIT
"""What a guest finds in its memory at boot: this machine's own programs with their libraries, the tests, the kernel's modules.

The archive is cpio "newc" (Documentation/driver-api/early-userspace/buffer-format.rst); several may follow each other."""
import os
import pathlib
import re
import shutil
import stat
import subprocess
import sys
import sysconfig

import packages

HERE = pathlib.Path(__file__).resolve().parent
SEARCH = "/usr/sbin:/usr/bin:/sbin:/bin"
PROGRAMS = ("sh cat chmod cp dd dmesg echo env false grep head id kill ln ls mkdir mknod mount mv nsenter printf ps rm rmdir sed "
            "sleep stat stty sync sysctl tail tar test timeout touch tr true uname unshare wc "
            "ip tc nft modprobe").split()
NICE_TO_HAVE = ("bpftool", "ethtool", "ping")  # scenarios that need them say so
NOT_OF_PYTHON = re.compile("_?test|idlelib|_?tkinter|turtle|lib2to3|ensurepip|distutils|pydoc|(dist|site)-packages|unittest|config-|"
                           "_?sqlite3|_ssl|_hashlib|asyncio|multiprocessing|xml|curses|_curses|venv|msilib|.*\.a$")
MODULES = ("net/sched", "net/netfilter", "net/ipv4", "net/ipv6", "net/bridge", "net/8021q", "net/802", "net/llc", "net/core",
           "drivers/net/*.ko*", "drivers/net/ethernet/intel/e1000", "drivers/virtio", "lib", "crypto", "arch/x86/crypto")


class Archive:
    """Files by the path they get, written as newc."""

    def __init__(self):
        self.entries = {}

    def _add(self, path, mode, data, when=0):
        path = str(path).lstrip("/")
        for parent in reversed(pathlib.PurePath(path).parents[:-1]):
            self.entries.setdefault(str(parent), (stat.S_IFDIR | 0o755, b"", 0))
        self.entries[path] = (mode, data, when)

    def folder(self, path):
        self._add(path, stat.S_IFDIR | 0o755, b"")

    def link(self, path, target):
        self._add(path, stat.S_IFLNK | 0o777, target.encode())

    def data(self, path, data, mode=0o644):
        self._add(path, stat.S_IFREG | mode, data)

    def file(self, path, source):
        """With its time: Python uses compiled files only when that fits."""
        info = os.stat(source)
        self._add(path, stat.S_IFREG | (info.st_mode & 0o777), pathlib.Path(source).read_bytes(), int(info.st_mtime))

    def tree(self, path, source, wanted=lambda path: True):
        for folder, names, files in os.walk(source):
            names[:] = [name for name in names if wanted(pathlib.Path(folder, name))]
            for name in files:
                full = pathlib.Path(folder, name)
                if full.exists() and wanted(full):
                    self.file(pathlib.PurePath(path) / full.relative_to(source), full)

    def write(self, out):
        self.entries["TRAILER!!!"] = (0, b"", 0)
        for number, (name, (mode, data, when)) in enumerate(self.entries.items(), 1):
            fields = (number, mode, 0, 0, 1, when, len(data), 0, 0, 0, 0, len(name.encode()) + 1, 0)
            for part in (b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0", data):
                out.write(part)
                out.write(b"\0" * (-len(part) % 4))


def libraries(program):
    """What the dynamic linker loads for it."""
    done = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=False)
    missing = re.search(r"(\S+) => not found", done.stdout)
    if missing:
        raise packages.Unavailable(f"{program} needs {missing[1]}")
    return re.findall(r"(/\S+) \(0x", done.stdout)


class Userland(Archive):
    """The part that is the same for all kernels."""

    def __init__(self, scratch):
        super().__init__()
        self.scratch = scratch
        for name in ("bin", "sbin", "lib", "lib64"):
            self.folder(f"usr/{name}")
            self.link(name, f"usr/{name}")
        for name in ("proc", "sys", "dev", "tmp", "run", "out", "root", "var/tmp", "etc"):
            self.folder(name)
        self.data("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n")
        self.data("etc/group", b"root:x:0:\nnogroup:x:65534:\n")
        for name in PROGRAMS:
            self._program(name, needed=True)
        for name in NICE_TO_HAVE:
            self._program(name, needed=False)
        self._python()
        self.file("init", HERE / "guest/init")
        self.file("job.py", HERE / "guest/job.py")

    def _with_libraries(self, path, source):
        self.file(path, source)
        self._libraries(source)

    def _libraries(self, source):
        for library in libraries(source):
            where = pathlib.Path(library)
            self.file(where.parent.resolve() / where.name, library)

    def _program(self, name, needed):
        source = shutil.which(name, path=SEARCH)
        if source:
            self._with_libraries(("usr/sbin/" if "sbin" in source else "usr/bin/") + name, source)
        elif needed:
            raise packages.Unavailable(f"{name} is not installed")

    def _python(self):
        """The one that runs this, at the place where it is here: that is how it finds its library."""
        program = pathlib.Path(sys.executable).resolve()
        self._with_libraries(program, program)
        self.link("usr/bin/python3", str(program))
        library = pathlib.Path(sysconfig.get_path("stdlib"))
        self.tree(library, library, lambda path: not NOT_OF_PYTHON.match(path.name))
        for extension in (library / "lib-dynload").glob("*.so"):
            if not NOT_OF_PYTHON.match(extension.name):
                self._libraries(extension)

    def binary(self, path, source):
        """One of ours, without its debug information."""
        slim = self.scratch / pathlib.Path(path).name
        packages.run("strip", "-o", slim, source)
        self._with_libraries(path, slim)


def modules(kernel):
    """The part of one kernel, with the lists that modprobe reads."""
    archive = Archive()
    home = pathlib.PurePath("usr/lib/modules") / kernel.release
    for pattern in MODULES:
        for found in (kernel.modules / "kernel").glob(pattern):
            if found.is_dir():
                archive.tree(home / found.relative_to(kernel.modules), found)
            else:
                archive.file(home / found.relative_to(kernel.modules), found)
    for listing in kernel.modules.glob("modules.*"):
        archive.file(home / listing.name, listing)
    return archive
