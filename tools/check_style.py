#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Do the files of this repository keep the house style where a machine can tell?

usage: check_style.py [--self-test]              exit: 0 clean, 1 with one "file:line: reason" each
"""
import os
import re
import subprocess
import sys

NEEDS_SPDX = re.compile(r"\.(cpp|h|c|py|sh|cmake)$|(^|/)CMakeLists\.txt$")
SPDX = re.compile(r"^(//|/\*|#) SPDX-License-Identifier: \S")
CPP = re.compile(r"\.cpp$|(?<!\.bpf)\.h$")

# Files whose name matches may not have more lines than this; the first match counts.
LINE_LIMITS = [(re.compile(r"\.bpf\.c$"), 250), (re.compile(r"\.(cpp|h|py|sh)$"), 400)]

# Written so that this file does not contain what it looks for.
ANYWHERE = [
    (re.compile(r"\b(ke[e]p|ke[p]t) in sync\b", re.IGNORECASE), "two copies of one fact"),
    (re.compile(r"\b(TOD[O]|FIXM[E]|XX[X])\b"), "unfinished work"),
    (re.compile(r"\x1b"), "raw ESC byte"),
    (re.compile(r"[ \t\r]+$"), "trailing white space"),
]
TAB = re.compile(r"\t")
PRINTS = re.compile(
    r"\bfprintf\s*\(\s*std(err|out)\b|\bprintf\s*\(|\bstd::c(err|log|out)\b"
    r'|\b(fmt|std)::print(ln)?\s*\(\s*(std(err|out)\b|")'
)
MAY_USE_TABS = ("bpf/", "vmlinux/")
MAY_PRINT = ("userspace/app/", "userspace/util/log.cpp", "tests/")


def has_spdx(lines):
    first = lines[1:2] if lines[0].startswith("#!") else lines[:1]
    return bool(first and SPDX.match(first[0]))


def check_line(path, line):
    """Yields the reasons why this line is not allowed."""
    for pattern, reason in ANYWHERE:
        if pattern.search(line):
            yield reason
    if not CPP.search(path):
        return
    if TAB.search(line) and not path.startswith(MAY_USE_TABS):
        yield "tab in a C++ file"
    if PRINTS.search(line) and not path.startswith(MAY_PRINT):
        yield "prints; only userspace/app and the log do"


def check_file(path, data):
    """All violations in one file as "file:line: reason"; data is its bytes."""
    if b"\0" in data:
        return []
    lines = data.decode("utf-8", "replace").split("\n")
    if lines[-1] == "":
        lines.pop()
    problems = []
    if NEEDS_SPDX.search(path) or data.startswith(b"#!"):
        if not lines or not has_spdx(lines):
            problems.append(f"{path}:1: no SPDX line first")
    for pattern, limit in LINE_LIMITS:
        if pattern.search(path):
            if len(lines) > limit:
                problems.append(f"{path}:{limit + 1}: {len(lines)} lines, the limit is {limit}")
            break
    for number, line in enumerate(lines, 1):
        problems += [f"{path}:{number}: {reason}" for reason in check_line(path, line)]
    return problems


def repository_files(root):
    """Tracked files and new ones that are not ignored; the owner of the checkout does not matter."""
    command = ["git", "-c", "safe.directory=*", "-C", root, "ls-files", "-z", "-co",
               "--exclude-standard", "--deduplicate"]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    return sorted(os.fsdecode(name) for name in output.split(b"\0") if name)


def check(root):
    problems = []
    checked = 0
    for path in repository_files(root):
        full = os.path.join(root, path)
        if os.path.isfile(full) and not os.path.islink(full):
            with open(full, "rb") as file:
                problems += check_file(path, file.read())
            checked += 1
    return problems if checked else [f"{root}:0: no files to check"]


MIT = "SPDX-License-Identifier: MIT\n"
# File, its text, and a part of the one reason expected; None when the text is allowed.
SELF_TEST = [
    ("userspace/a.cpp", "int x;\n", "SPDX"),
    ("userspace/a.h", "", "SPDX"),
    ("bpf/signals/a.bpf.c", "int x;\n// " + MIT, "SPDX"),
    ("bpf/lib/a.bpf.h", "\n", "SPDX"),
    ("tools/a.py", "#!/usr/bin/env python3\n", "SPDX"),
    ("tools/a.sh", "#!/bin/sh\n\n# " + MIT, "SPDX"),
    ("tools/run", "#!/bin/sh\ntrue\n", "SPDX"),
    ("tests/CMakeLists.txt", "project(x)\n", "SPDX"),
    ("a.cmake", "# comment\n", "SPDX"),
    ("README.md", "Please keep" + " in sync with x\n", "two copies"),
    ("README.md", "must be Kept" + " in sync\n", "two copies"),
    ("userspace/b.cpp", "// " + MIT + "\n" * 400, "limit is 400"),
    ("tools/b.sh", "# " + MIT + "\n" * 400, "limit is 400"),
    ("bpf/signals/b.bpf.c", "// " + MIT + "\n" * 250, "limit is 250"),
    ("tests/golden/a.txt", "\x1b[31mred\n", "ESC"),
    ("README.md", "TO" + "DO: more\n", "unfinished"),
    ("README.md", "a FIX" + "ME\n", "unfinished"),
    ("README.md", "X" + "XX\n", "unfinished"),
    ("README.md", "text \n", "trailing"),
    ("README.md", "text\t", "trailing"),
    ("README.md", "text\r\n", "trailing"),
    ("userspace/c.cpp", "// " + MIT + "\tint x;\n", "tab"),
    ("userspace/detect/d.cpp", "// " + MIT + 'fprintf(stderr, "x");\n', "prints"),
    ("userspace/detect/d.cpp", "// " + MIT + 'printf("x");\n', "prints"),
    ("userspace/detect/d.h", "// " + MIT + "std::cout << 1;\n", "prints"),
    ("userspace/util/time.h", "// " + MIT + "std::cerr << 1;\n", "prints"),
    ("userspace/present/d.cpp", "// " + MIT + 'fmt::print("x");\n', "prints"),
    ("userspace/present/d.cpp", "// " + MIT + "fmt::print(stderr, x);\n", "prints"),
    ("userspace/present/e.cpp", "// " + MIT + "fmt::print(out, x); snprintf(b, 1, x);\n", None),
    ("userspace/app/d.cpp", "// " + MIT + 'printf("x"); std::cerr << 1;\n', None),
    ("userspace/util/log.cpp", "// " + MIT + 'fprintf(stderr, "x");\n', None),
    ("tests/unit/d_test.cpp", "// " + MIT + "std::cout << 1;\n", None),
    ("vmlinux/vmlinux.h", "/* " + MIT[:-1] + " */\n\tint x;\n", None),
    ("bpf/abi/a.h", "/* " + MIT[:-1] + " */\n\tint x;\n", None),
    ("tests/bpf/a.bpf.c", "// " + MIT + "\tint x;\n" * 249, None),
    ("tools/c.sh", "#!/bin/sh\n# " + MIT + "mktemp /tmp/XXXXXX\n", None),
    ("userspace/e.cpp", "// " + MIT + "\n" * 399, None),
    ("docs/picture.png", "\0\x1b \n", None),
]


def self_test():
    """Every bad text must be reported once, for its own reason, and no good one."""
    failures = []
    for path, text, expected in SELF_TEST:
        got = check_file(path, text.encode())
        if len(got) != (expected is not None) or (expected and expected not in got[0]):
            failures.append(f"{path}: {text[:60]!r}: expected {expected}, got {got}")
    return failures


def main(arguments):
    root = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
    if arguments not in ([], ["--self-test"]):
        sys.exit(__doc__)
    try:
        problems = self_test() if arguments else check(root)
    except (OSError, subprocess.CalledProcessError) as error:
        problems = [f"{root}:0: the files cannot be listed: {error}"]
    print("\n".join(problems) or "style: " + ("every rule fires" if arguments else "clean"))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
