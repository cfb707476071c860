#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Output changed on purpose? Writes tests/golden anew from the fixed records, and the
# READMEs' tables from the signals; read the diff before you commit it.
# usage: tools/golden.sh [build directory]        (default: build/debug)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
build=${1:-build/debug}

cmake --build "$build" --target unit_tests
rm -f tests/golden/*.txt tests/golden/*.json
CULPRIT_WRITE_GOLDEN=1 "$build/tests/unit_tests" "[golden_test],[docs_test]"
git status --short tests/golden README.md bpf/README.md
