#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Does each header of bpf/abi compile alone, as C17, as C++20 and as BPF C, and declare data only?

usage: headers_test.py [--cc CC] [--cxx CXX] [--clang CLANG]          exit: 0, or 1 with the reasons
"""
import re
import subprocess
import sys

import btf

WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror", "-fsyntax-only"]
COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
# What may not cross the boundary, because the two sides would disagree about it.
REFUSED = [
    (re.compile(r"\b(bool|long|short|int|unsigned|float|double|size_t)\b"), "a type without a fixed width"),
    (re.compile(r"\bchar\s+\w+\s*;"), "a lone char"),
    (re.compile(r"\bpacked\b"), "packed"),
    (re.compile(r"^\s*(const\s+)?(struct\s+)?\w+\s*\*", re.MULTILINE), "a pointer"),
    (re.compile(r"^\t[^#\n]*\w\s*:\s*\d+\s*;", re.MULTILINE), "a bit field"),
    (re.compile(r"\)\s*\{"), "a function"),
]
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', re.MULTILINE)


def compile_alone(name, command, source):
    done = subprocess.run(command, input=source, capture_output=True, text=True)
    return [f"{name}\n{done.stderr}"] if done.returncode else []


def check(header, tools):
    include = f'#include "{header.name}"\n'
    flags = [f"-I{header.parent}"]
    problems = compile_alone(f"{header.name} as C17:", [tools.cc, "-std=c17", *WARNINGS, *flags, "-xc", "-"],
                             include + "int unused;\n")
    problems += compile_alone(f"{header.name} as C++20:",
                              [tools.cxx, "-std=c++20", *WARNINGS, *flags, "-xc++", "-"], include)
    problems += compile_alone(f"{header.name} as BPF C:",
                              [tools.clang, *btf.BPF_FLAGS, "-fsyntax-only", "-xc", "-"],
                              '#include "vmlinux.h"\n' + include)
    return problems


def check_text(header):
    text = COMMENT.sub("", header.read_text())
    names = {path.name for path in btf.ABI_HEADERS}
    problems = [f"{header.name}: {reason}: {found.group().strip()}"
                for pattern, reason in REFUSED if (found := pattern.search(text))]
    problems += [f"{header.name}: includes {name}" for name in INCLUDE.findall(text)
                 if name not in names and (header.name, name) != ("types.h", "linux/types.h")]
    sized = set(re.findall(r"ABI_SIZE\(struct (\w+),", text))
    problems += [f"{header.name}: struct {name} has no ABI_SIZE" for name in btf.STRUCT.findall(text)
                 if name not in sized]
    return problems


def main():
    tools = btf.arguments()
    problems = [] if btf.ABI_HEADERS else ["no headers found"]
    for header in btf.ABI_HEADERS:
        problems += check(header, tools) + check_text(header)
    print("\n".join(problems) or f"abi: {len(btf.ABI_HEADERS)} headers compile alone in three languages")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
