#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Does every #include in userspace/ respect the order of the layers, and each library its one place?

usage: check_layers.py [--self-test]             exit: 0 clean, 1 with one "file:line: reason" each
"""
import fnmatch
import os
import re
import sys
import tempfile

# A folder may include folders of a lower rank only; folders of one rank do not know each other.
LAYERS = [
    ["util"],
    ["kernel"],
    ["signals"],
    ["model"],
    ["detect"],
    ["present", "export", "record", "fleet", "check"],
    ["app"],
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
ORDER = " < ".join(", ".join(names) for names in LAYERS)

# What an include path looks like, the files (below userspace/) that may have it, and its name.
RESTRICTED = [
    (r"(^|/)abi/", ["kernel/*", "signals/*", "model/*", "detect/*"], "bpf/abi"),
    (r"\.skel\.h$", ["signals/*.cpp"], "a skeleton"),
    (r"^bpf/(?!abi/)", ["util/*", "kernel/*", "signals/*"], "libbpf"),
    (r"^nlohmann/", ["present/*", "model/*json*", "kernel/ruleset*"], "nlohmann"),
    (r"^CLI/", ["app/*"], "CLI11"),
    (r"^(ncursesw?/)?n?curses(w|es)?\.h$|^ncursesw?/", ["present/*"], "ncurses"),
]

SOURCE = re.compile(r"\.(cpp|cc|hpp|h|c|inc)(\.in)?$")
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def sources(userspace):
    """Paths of all source files, relative to userspace/, sorted."""
    found = []
    for folder, _, names in os.walk(userspace):
        for name in names:
            if SOURCE.search(name):
                found.append(os.path.relpath(os.path.join(folder, name), userspace))
    return sorted(found)


def included_layer(userspace, path, bracket, target):
    """The layer an include leads to, or None when it leads out of userspace/."""
    if bracket == '"':
        beside = os.path.normpath(os.path.join(os.path.dirname(path), target))
        if target.startswith(".") or os.path.exists(os.path.join(userspace, beside)):
            target = beside
    target = os.path.normpath(target).removeprefix("userspace/")
    layer, slash, _ = target.partition("/")
    return layer if slash and layer in RANK else None


def check_include(userspace, path, bracket, target):
    """Yields the reasons why this include is not allowed."""
    own = path.split(os.sep)[0]
    other = included_layer(userspace, path, bracket, target)
    if other and other != own and RANK[other] >= RANK[own]:
        yield f"{own} may not include {other} (the order is {ORDER})"
    for pattern, allowed, name in RESTRICTED:
        if re.search(pattern, target) and not any(fnmatch.fnmatch(path, a) for a in allowed):
            yield f"{name} ({target}) may be included only by {', '.join(allowed)}"


def check(root):
    """All violations below root as "file:line: reason"."""
    userspace = os.path.join(root, "userspace")
    files = sources(userspace)
    if not files:
        return ["userspace:0: no source files to check"]
    problems = []
    for path in files:
        shown = os.path.join("userspace", path)
        if path.split(os.sep)[0] not in RANK:
            problems.append(f"{shown}:1: not in a known layer ({ORDER})")
            continue
        with open(os.path.join(userspace, path), encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                match = INCLUDE.match(line)
                for reason in check_include(userspace, path, *match.groups()) if match else ():
                    problems.append(f"{shown}:{number}: {reason}")
    return problems


# File, its only line, and a part of the reason expected; None when the line is allowed.
SELF_TEST = [
    ("util/a.h", '#include "kernel/ring.h"', "util may not include kernel"),
    ("kernel/a.h", '#include "signals/signal.h"', "kernel may not include signals"),
    ("signals/a.h", '#include "model/window.h"', "signals may not include model"),
    ("model/a.h", '#include "detect/finding.h"', "model may not include detect"),
    ("detect/a.h", '#include "present/format.h"', "detect may not include present"),
    ("detect/b.h", '#include "export/prometheus.h"', "detect may not include export"),
    ("present/a.h", '#include "app/loop.h"', "present may not include app"),
    ("present/b.h", '#include "export/prometheus.h"', "present may not include export"),
    ("export/a.h", '#include "present/format.h"', "export may not include present"),
    ("util/b.cpp", '  #  include "../app/loop.h"', "util may not include app"),
    ("util/c.cpp", "#include <userspace/app/loop.h>", "util may not include app"),
    ("util/d.h", '#include "abi/drop.h"', "bpf/abi"),
    ("present/c.h", '#include "bpf/abi/drop.h"', "bpf/abi"),
    ("export/b.h", '#include "../../bpf/abi/drop.h"', "bpf/abi"),
    ("app/a.h", '#include "abi/drop.h"', "bpf/abi"),
    ("signals/b.h", '#include "drop.skel.h"', "a skeleton"),
    ("kernel/b.cpp", '#include "skel/drop.skel.h"', "a skeleton"),
    ("model/b.h", "#include <bpf/libbpf.h>", "libbpf"),
    ("detect/c.cpp", "#include <nlohmann/json.hpp>", "nlohmann"),
    ("model/c.cpp", "#include <nlohmann/json.hpp>", "nlohmann"),
    ("util/e.cpp", "#include <CLI/CLI.hpp>", "CLI11"),
    ("app/b.cpp", "#include <ncurses.h>", "ncurses"),
    ("app/c.cpp", "#include <ncursesw/curses.h>", "ncurses"),
    ("elsewhere/a.h", "", "not in a known layer"),
    ("loose.h", "", "not in a known layer"),
    ("kernel/ring.h", '#include "util/result.h"', None),
    ("kernel/ok.h", "#include <bpf/libbpf.h>", None),
    ("kernel/same.cpp", '#include "ring.h"', None),
    ("signals/drop.cpp", '#include "drop.skel.h"', None),
    ("signals/signal.h", '#include "abi/drop.h"', None),
    ("detect/finding.h", '#include "bpf/abi/drop.h"', None),
    ("model/window_json.cpp", "#include <nlohmann/json.hpp>", None),
    ("present/json.cpp", "#include <nlohmann/json.hpp>", None),
    ("kernel/ruleset.cpp", "#include <nlohmann/json.hpp>", None),
    ("present/tui.cpp", "#include <ncurses.h>", None),
    ("export/prometheus.cpp", '#include "detect/finding.h"', None),
    ("app/options.cpp", "#include <CLI/CLI.hpp>", None),
    ("app/main.cpp", '#include "export/prometheus.h"', None),
    ("util/comment.h", '// #include "app/loop.h"', None),
]


def self_test():
    """Every bad line must be reported once, for its own reason, and no good one."""
    with tempfile.TemporaryDirectory() as root:
        if not check(root):
            return ["an empty tree passes"]
        for path, line, _ in SELF_TEST:
            full = os.path.join(root, "userspace", path)
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, "w", encoding="utf-8") as file:
                file.write(line + "\n")
        problems = check(root)
    failures = []
    for path, line, expected in SELF_TEST:
        got = [p for p in problems if p.startswith(f"userspace/{path}:1: ")]
        if len(got) != (expected is not None) or (expected and expected not in got[0]):
            failures.append(f"{path}: {line}: expected {expected}, got {got}")
    return failures


def main(arguments):
    root = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
    if arguments not in ([], ["--self-test"]):
        sys.exit(__doc__)
    problems = self_test() if arguments else check(root)
    print("\n".join(problems) or "layers: " + ("every rule fires" if arguments else "clean"))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
