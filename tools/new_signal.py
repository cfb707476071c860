#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What does a new signal need? Writes the stubs of its files and registers it in SIGNALS and in the kinds.

usage: tools/new_signal.py NAME        (lower case, letters, digits and underscores)
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent

ABI = """/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Record about @NAME@. */
#ifndef CULPRIT_ABI_@UPPER@_H
#define CULPRIT_ABI_@UPPER@_H

#include "event.h"

/* Hook: tcp_receive_reset. */
struct @NAME@_event {
	struct abi_head head;
	struct abi_flow flow;
	struct abi_owner owner;
};
ABI_SIZE(struct @NAME@_event, 104);

#endif
"""

BPF = """// SPDX-License-Identifier: GPL-2.0-only
/* Which question does @NAME@ answer? */
#include "vmlinux.h"

#include "@NAME@.h"
#include "filter.bpf.h"
#include "owner.bpf.h"

char LICENSE[] SEC("license") = "GPL";

/* Why this hook and not its neighbour, and since which kernel. */
SEC("?tp_btf/tcp_receive_reset")
int BPF_PROG(@NAME@_hook, const struct sock *sk)
{
	struct abi_ledger *ledger = ledger_of(ABI_@UPPER@);
	struct @NAME@_event event = {};

	if (!ledger)
		return 0;
	count_one(&ledger->seen);
	flow_from_common(&event.flow, &sk->__sk_common);
	owner_from_sock(&event.owner, sk, true);
	if (record_matches(ledger, &event.flow, &event.owner))
		record_put(ledger, &event.head, ABI_@UPPER@, sizeof(event));
	return 0;
}
"""

CPP = """// SPDX-License-Identifier: MIT
// @NAME@: fields and hooks.
#include "@NAME@.skel.h"
#include "signals/all.h"

#include "abi/@NAME@.h"

namespace culprit {

namespace {

constexpr Field kFields[] = {
    CULPRIT_FIELD(@NAME@_event, flow, Type::kFlow, "both ends"),
    CULPRIT_FIELD(@NAME@_event, owner, Type::kOwner, "the process of this end"),
};
constexpr Part kKey[] = {CULPRIT_PART(@NAME@_event, flow), CULPRIT_PART(@NAME@_event, owner)};

constexpr Kind kKind = {ABI_@UPPER@, "@NAME@", "one sentence", sizeof(@NAME@_event), true, kFields, kKey, {}};
constexpr const Kind* kKinds[] = {&kKind};

constexpr Hook kHooks[] = {{"tcp_receive_reset", "@NAME@_hook", true, ""}};

} // namespace

const Signal @NAME@_signal = {"@NAME@", "which question does it answer", &elf_of<@NAME@_skel>, kHooks, kKinds};

} // namespace culprit
"""

LIVE = """// SPDX-License-Identifier: MIT
// Causes @NAME@ for real and looks for its record.
#include "support/catch.h"

TEST_CASE("@NAME@ is seen when it happens", "[@NAME@_test]") {
    FAIL("cause it in a namespace of the test's own (support/two_ns.h) and assert the record");
}
"""


def edit(path, pattern, replacement):
    text = (ROOT / path).read_text()
    changed, count = re.subn(pattern, replacement, text, count=1, flags=re.M)
    if count != 1:
        sys.exit(f"new_signal: {path} does not look as expected")
    (ROOT / path).write_text(changed)


def main():
    if len(sys.argv) != 2 or not re.fullmatch(r"[a-z][a-z0-9_]{1,20}", sys.argv[1]):
        sys.exit(__doc__.strip())
    name = sys.argv[1]
    files = {f"bpf/abi/{name}.h": ABI, f"bpf/signals/{name}.bpf.c": BPF, f"userspace/signals/{name}.cpp": CPP,
             f"tests/live/{name}_test.cpp": LIVE}
    for path in files:
        if (ROOT / path).exists():
            sys.exit(f"new_signal: {path} is there already")
    kinds = [int(n) for n in re.findall(r"^\tABI_\w+ = (\d+),", (ROOT / "bpf/abi/event.h").read_text(), re.M)]
    number = max(n for n in kinds if n < 32) + 1
    number = number if number < 32 else sys.exit("new_signal: the ledger has no room, raise ABI_KIND_LIMIT")
    for path, text in files.items():
        (ROOT / path).write_text(text.replace("@NAME@", name).replace("@UPPER@", name.upper()))
        print(path)
    edit("bpf/abi/event.h", r"^(\tABI_KIND_LIMIT)", rf"\tABI_{name.upper()} = {number},\n\1")
    edit("CMakeLists.txt", r"^set\(SIGNALS ([^)]*)\)", rf"set(SIGNALS \1 {name})")
    print("then: cmake --build, tools/golden.sh, and fill in what the stubs ask for")


if __name__ == "__main__":
    main()
