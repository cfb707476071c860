# SPDX-License-Identifier: MIT
"""Debian packages without a trace on this machine: fetched by apt with lists and state of its own, unpacked into a cache.

Which mirror is asked stands in this machine's own package sources; these stay as they are."""
import fcntl
import functools
import os
import pathlib
import re
import shutil
import subprocess

CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "culprit/kernels"
FETCH_SECONDS = 600


class Unavailable(Exception):
    """What is wanted cannot be had here; the text says why."""


def run(*command, seconds=FETCH_SECONDS, **options):
    """Standard output; Unavailable with the last words of a command that fails."""
    try:
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=seconds,
                              check=False, **options)
    except FileNotFoundError as error:
        raise Unavailable(f"{command[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"{command[0]} took longer than {seconds} s") from error
    if done.returncode:
        words = (done.stderr or done.stdout).strip().splitlines() or [f"ended with {done.returncode}"]
        raise Unavailable(f"{command[0]}: {words[-1]}")
    return done.stdout


@functools.cache
def mirrors():
    """Where this machine gets Debian from: {is it the security archive: address}."""
    found = {}
    lines = run("apt-get", "indextargets", "--format", "$(ORIGIN)|$(CODENAME)|$(REPO_URI)", "Created-By: Packages")
    for origin, codename, address in (line.split("|") for line in lines.splitlines()):
        if origin in ("Debian", "Debian Backports"):
            found.setdefault(codename.endswith("-security"), address)
    return found


def sources_line(suite):
    security = suite.endswith("-security")
    address = mirrors().get(security)
    if not address:
        raise Unavailable(f"no {'security ' if security else ''}mirror of Debian among this machine's package sources")
    keys = sorted(pathlib.Path("/usr/share/keyrings").glob("debian-archive-keyring.*"))
    signed = f"[signed-by={keys[0]}] " if keys else ""
    return f"deb {signed}{address} {suite} main\n"


class Suite:
    """One Debian suite with lists and state of its own."""

    def __init__(self, name):
        self.name = name
        self.root = CACHE / "apt" / name
        self.config = self.root / "apt.conf"

    def _apt(self, tool, *words, **options):
        return run(tool, "-qq", *words, env={**os.environ, "APT_CONFIG": str(self.config)}, **options)

    def update(self):
        for folder in ("state/lists/partial", "cache/archives/partial", "etc/parts"):
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        (self.root / "state/status").touch()
        (self.root / "etc/sources.list").write_text(sources_line(self.name))
        self.config.write_text(
            f'Dir::State "{self.root}/state"; Dir::State::status "{self.root}/state/status";\n'
            f'Dir::Cache "{self.root}/cache"; Dir::Etc::sourcelist "{self.root}/etc/sources.list";\n'
            f'Dir::Etc::sourceparts "{self.root}/etc/parts"; Dir::Etc::preferencesparts "{self.root}/etc/parts";\n'
            'Dir::Etc::preferences "/dev/null"; APT::Sandbox::User "root"; Acquire::Languages "none";\n'
            'APT::Update::Error-Mode "any"; APT::Architecture "amd64"; APT::Architectures "amd64";\n')
        self._apt("apt-get", "update")
        return self

    def versions(self, pattern):
        """{package: version} of the packages whose whole name fits."""
        names = [line.split(" - ")[0] for line in self._apt("apt-cache", "search", "--names-only", f"^{pattern}$").splitlines()]
        found = {}
        for name in names:
            candidate = re.search(r"Candidate: (\S+)", self._apt("apt-cache", "policy", name))
            if candidate and candidate[1] != "(none)":
                found[name] = candidate[1]
        return found

    def unpack(self, package, into):
        folder = self.root / "deb"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        self._apt("apt-get", "download", package, cwd=folder)
        for file in folder.iterdir():
            run("dpkg-deb", "-x", file, into)
        shutil.rmtree(folder)


@functools.cache
def suite(name):
    """With lists of today."""
    return Suite(name).update()


def newer(a, b):
    return subprocess.run(["dpkg", "--compare-versions", a, "gt", b], check=False).returncode == 0


def newest(versions):
    """The name of the package with the highest version."""
    best = next(iter(versions))
    for name, version in versions.items():
        if newer(version, versions[best]):
            best = name
    return best


def cached(name, refresh, fetch):
    """A folder in the cache, which `fetch` fills when it is not there yet; never one that is half full. One at a time: apt's
    lists are shared."""
    folder = CACHE / name
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.exists() and not refresh:
            return folder
        fresh = folder.with_name(folder.name + ".new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        fetch(fresh)
        shutil.rmtree(folder, ignore_errors=True)
        fresh.rename(folder)
    return folder
