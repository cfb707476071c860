#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What is wrong with this machine's network? Builds culprit from a fresh clone and runs its diagnosis.
# usage: tools/diagnose.sh [arguments of "culprit diagnose"]      (default: --for 10s)
# The exit code is culprit's; 1 also stands for "could not be built".
set -euo pipefail
repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
culprit=$repo/build/release/userspace/culprit

die() { echo "diagnose: $*" >&2; exit 1; }

as_root=()
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || die "root (or sudo) is needed to load eBPF programs"
    as_root=(sudo)
fi

# The tests stay out of this build, and with them the packages that only they need.
(
    cd "$repo"
    tools/install_deps.sh build || die "the packages above are needed to build"
    cmake --preset release -DBUILD_TESTING=OFF || die "cmake could not configure the build, see above"
    cmake --build --preset release || die "the build failed, see above"
) >&2

[ $# -gt 0 ] || set -- --for 10s
exec "${as_root[@]}" "$culprit" diagnose "$@"
