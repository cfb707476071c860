#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Is the code formatted as the two .clang-format files say? Formats it, or with --check only reports.
# usage: tools/format.sh [--check]        exit: 0 clean, 1 not formatted, 77 cannot tell here
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Other versions lay out the same rules differently, so only this one may judge or rewrite.
wanted_version=14

skip() { echo "format: skipped: $*"; exit 77; }

case ${1:-} in
    --check) mode=(--dry-run -Werror) ;;
    '') mode=(-i) ;;
    *) echo "usage: $0 [--check]" >&2; exit 2 ;;
esac

tool=$(command -v "clang-format-$wanted_version" || command -v clang-format) ||
    skip "clang-format is not installed"
version=$("$tool" --version | sed -n 's/.*version \([0-9]*\).*/\1/p')
[ "$version" = "$wanted_version" ] ||
    skip "clang-format is version ${version:-unknown}, the layout is defined by version $wanted_version"

sources() { find "$@" -type f \( -name '*.cpp' -o -name '*.h' -o -name '*.c' \) | sort; }

mapfile -t cpp_files < <(sources userspace tests)
mapfile -t bpf_files < <(sources bpf vmlinux/flavors.h)
if [ ${#cpp_files[@]} = 0 ] || [ ${#bpf_files[@]} = 0 ]; then
    echo "format: no source files found" >&2
    exit 1
fi

status=0
"$tool" "${mode[@]}" --style=file "${cpp_files[@]}" || status=1
"$tool" "${mode[@]}" --style=file:bpf/.clang-format "${bpf_files[@]}" || status=1
exit $status
