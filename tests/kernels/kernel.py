# SPDX-License-Identifier: MIT
"""Debian's kernels as folders: image and modules, by the patterns of kernels.json."""
import json
import pathlib
import re

import packages

HERE = pathlib.Path(__file__).resolve().parent
FLAVOUR = {"cloud": "-cloud-amd64", "generic": "-amd64"}


def known():
    """{name: entry} of the list, oldest first."""
    return {entry["name"]: entry for entry in json.loads((HERE / "kernels.json").read_text())["kernels"]}


def _candidates(suite, entry, flavour):
    names = suite.versions(entry["package"] + FLAVOUR[flavour])
    return {name: version for name, version in names.items() if flavour == "cloud" or not re.search("-(cloud|rt)-", name)}


def _fetch(entry, flavour, into):
    reasons = []
    for name in entry["suites"]:
        try:
            suite = packages.suite(name)
            names = _candidates(suite, entry, flavour)
            if not names:
                raise packages.Unavailable(f"suite {suite.name} has no such kernel")
            package = packages.newest(names)
            suite.unpack(package, into)
            if "-binary-" in package:  # since 6.19 the modules are a package of their own
                suite.unpack(package.replace("-binary-", "-modules-"), into)
            _arrange(into)
            (into / "package").write_text(f"{package} {names[package]}\n")
            return
        except packages.Unavailable as error:
            reasons.append(str(error))
    raise packages.Unavailable("; ".join(reasons))


def _arrange(tree):
    """Modules where both old and new kmod look, and the lists that Debian writes at installation."""
    if (tree / "lib").is_dir():
        (tree / "lib").rename(tree / "usr/lib")
    (tree / "lib").symlink_to("usr/lib")
    modules = next(path for path in tree.glob("usr/lib/modules/*") if (path / "kernel").is_dir())
    packages.run("depmod", "-b", tree, modules.name)


class Kernel:
    """An unpacked kernel."""

    def __init__(self, name, flavour="cloud", refresh=False):
        entry = known()[name]
        self.name = name
        self.folder = packages.cached(f"trees/{name}-{flavour}", refresh, lambda into: _fetch(entry, flavour, into))
        self.modules = next(path for path in self.folder.glob("usr/lib/modules/*") if (path / "kernel").is_dir())
        self.release = self.modules.name
        images = [*self.folder.glob("boot/vmlinuz*"), *self.folder.glob("usr/lib/modules/*/vmlinuz")]
        self.image = next(path for path in images if path.stat().st_size > 1_000_000)
