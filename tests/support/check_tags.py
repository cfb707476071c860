#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Does every Catch2 case carry its file's name as a tag? CTest runs cases by that tag; one without would never run.

usage: check_tags.py             exit: 0 clean, 1 with one "file:line: reason" each
"""
import pathlib
import re
import sys

CASE = re.compile(r'\b(?:TEMPLATE_)?TEST_CASE\s*\((?:[^"()]|"(?:\\.|[^"\\])*")*\)')


def main():
    tests = pathlib.Path(__file__).resolve().parent.parent
    problems = []
    for path in sorted(tests.glob("*/*_test.cpp")):
        text = path.read_text(encoding="utf-8")
        cases = list(CASE.finditer(text))
        if not cases:
            problems.append(f"{path.relative_to(tests)}:1: no test case found")
        for case in cases:
            if f"[{path.stem}]" not in case.group():
                line = text.count("\n", 0, case.start()) + 1
                problems.append(f"{path.relative_to(tests)}:{line}: no tag [{path.stem}]")
    print("\n".join(problems) or "tags: clean")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
