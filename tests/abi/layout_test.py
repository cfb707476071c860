#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Do the BPF compiler and the C++ compiler lay every struct of bpf/abi out alike, and do the built objects agree?

Takes the layout from BTF, of a source that has one variable of each struct and of the objects given, and lets the C++
compiler assert it.
usage: layout_test.py [--cxx CXX] [--clang CLANG] [--bpftool BPFTOOL] [object...]   exit: 0, or 1 with the reasons
"""
import pathlib
import subprocess
import sys
import tempfile

import btf


def probe(tools, folder):
    """An object with the BTF of all structs, whether or not a program uses them."""
    source = folder / "probe.c"
    source.write_text('#include "vmlinux.h"\n' + "".join(f'#include "{h.name}"\n' for h in btf.ABI_HEADERS) +
                      "".join(f"struct {name} the_{name};\n" for name in btf.abi_structs()))
    btf.run(tools.clang, *btf.BPF_FLAGS, "-c", source, "-o", folder / "probe.o")
    return folder / "probe.o"


def assertions(types, path):
    for name in btf.abi_structs():
        found = types.structs.get(name)
        if not found:
            continue
        yield f'static_assert(sizeof({name}) == {found["size"]}, "{path}: size of {name}");'
        for member in found["members"]:
            place = f'{name}, {member["name"]}'
            yield (f'static_assert(offsetof({place}) * 8 == {member["bits_offset"]} && '
                   f'sizeof({name}::{member["name"]}) == {types.size(member["type_id"])}, "{path}: {place}");')


def main():
    tools = btf.arguments()
    missing = [path for path in tools.objects if not pathlib.Path(path).exists()]
    if missing:
        sys.exit("not built: " + " ".join(missing))
    lines = ["#include <cstddef>"] + [f'#include "{header.name}"' for header in btf.ABI_HEADERS]
    with tempfile.TemporaryDirectory() as name:
        own = probe(tools, pathlib.Path(name))
        for path in [own, *tools.objects]:
            types = btf.Btf(tools.bpftool, path)
            absent = [s for s in btf.abi_structs() if s not in types.structs]
            if absent and path == own:
                sys.exit("no BTF for " + " ".join(absent))
            found = list(assertions(types, pathlib.Path(path).name))
            print(f"{pathlib.Path(path).name}: {len(found)} sizes and offsets")
            if not found:
                sys.exit("none of our structs is in it")
            lines += found
    done = subprocess.run([tools.cxx, "-std=c++20", "-fsyntax-only", f"-I{btf.ROOT}/bpf/abi", "-xc++", "-"],
                          input="\n".join(lines), text=True)
    return 1 if done.returncode else 0


if __name__ == "__main__":
    sys.exit(main())
