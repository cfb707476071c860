#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Does the running kernel have every struct member that vmlinux/vmlinux.h declares, in a size that can be read into ours?

A struct that also has shapes in flavors.h must match one of them. Wire headers are not relocated and not looked at.
usage: fields_test.py [--clang CLANG] [--bpftool BPFTOOL]        exit: 0, 1 with the reasons, 77 without kernel BTF
"""
import os
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "abi"))
import btf  # noqa: E402

KERNEL = "/sys/kernel/btf/vmlinux"
HEADER = btf.ROOT / "vmlinux/vmlinux.h"


def our_structs():
    """Names of the structs under the attribute that makes their members relocatable."""
    parts = (HEADER.with_name(name).read_text() for name in ("vmlinux.h", "packets.h", "routes.h", "tasks.h", "flavors.h"))
    return [name for part in parts for name in btf.STRUCT.findall(part)]


def our_types(tools, names):
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "probe.c").write_text('#define BPF_NO_PRESERVE_ACCESS_INDEX\n#include "vmlinux.h"\n' +
                                        "".join(f"struct {n} the_{n};\n" for n in names))
        btf.run(tools.clang, *btf.BPF_FLAGS, "-c", folder / "probe.c", "-o", folder / "probe.o")
        return btf.Btf(tools.bpftool, folder / "probe.o")


def is_anonymous_struct(found):
    return found and found["kind"] in ("STRUCT", "UNION") and found["name"] == "(anon)"


def find_member(types, struct, name):
    """The member of that name, anonymous structs and unions looked through."""
    for member in struct["members"]:
        if member["name"] == name:
            return member
        inner = types.resolve(member["type_id"])
        if member["name"] == "(anon)" and is_anonymous_struct(inner):
            if found := find_member(types, inner, name):
                return found
    return None


def compare(ours, our_struct, kernel, kernel_struct, path):
    """Yields what the kernel lacks."""
    for member in our_struct["members"]:
        inner = ours.resolve(member["type_id"])
        if member["name"] == "(anon)":
            yield from compare(ours, inner, kernel, kernel_struct, path)
            continue
        place = f'{path}.{member["name"]}'
        found = find_member(kernel, kernel_struct, member["name"])
        if not found:
            yield f"{place}: the kernel has no such member"
            continue
        theirs = kernel.resolve(found["type_id"])
        if is_anonymous_struct(inner):
            yield from compare(ours, inner, kernel, theirs, place)
        elif inner["kind"] in ("INT", "PTR", "ARRAY", "ENUM"):
            sizes = ours.size(member["type_id"]), kernel.size(found["type_id"])
            bits = member.get("bitfield_size", 0), found.get("bitfield_size", 0)
            if sizes[0] != sizes[1] or bool(bits[0]) != bool(bits[1]):
                yield f"{place}: {sizes[0]} bytes here, {sizes[1]} in the kernel (bit fields: {bits[0]}, {bits[1]})"


def main():
    if not os.path.exists(KERNEL):
        btf.skip(f"{KERNEL} is missing: this kernel shows no BTF")
    tools = btf.arguments()
    names = our_structs()
    ours, kernel = our_types(tools, names), btf.Btf(tools.bpftool, KERNEL)
    problems, members = [], 0
    for base in sorted({name.partition("___")[0] for name in names}):
        if base not in kernel.structs and base not in names:
            continue  # only some kernels have it, and none of its shapes is needed here
        if base not in kernel.structs:
            problems.append(f"{base}: the kernel has no such struct")
            continue
        shapes = [name for name in names if name.partition("___")[0] == base]
        lacks = [list(compare(ours, ours.structs[shape], kernel, kernel.structs[base], shape)) for shape in shapes]
        problems += min(lacks, key=len)
        members += sum(len(ours.structs[shape]["members"]) for shape in shapes)
    print("\n".join(problems) or f"{os.uname().release}: has all {members} members")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
