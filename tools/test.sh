#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Does everything work here? Unit tests under the sanitizers first, then every test; ends with ctest's summary.
# usage: tools/test.sh [arguments of ctest]        (they narrow both passes, e.g. -R drop)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

build() { # preset [target...]
    cmake --preset "$1"
    cmake --build --preset "$1" -j2 ${2:+--target "${@:2}"}
}

tools/install_deps.sh test

# A selection such as "-L live" may leave nothing for this pass; without one, nothing to run is an error.
no_tests=error
[ $# = 0 ] || no_tests=ignore
build asan unit_tests dns_name_fuzz
ctest --preset asan -j2 -L unit --no-tests="$no_tests" "$@"

build debug
exec ctest --preset debug -j2 "$@"
