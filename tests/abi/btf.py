# SPDX-License-Identifier: MIT
"""Structs as the BPF compiler or a kernel laid them out: BTF, read through bpftool."""
import argparse
import json
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
ABI_HEADERS = sorted((ROOT / "bpf/abi").glob("*.h"))
STRUCT = re.compile(r"^struct (\w+) \{", re.MULTILINE)
BPF_FLAGS = ["-g", "-O2", "-target", "bpf", "-mcpu=v3", "-Wall", "-Wextra", "-Werror",
             f"-I{ROOT}/vmlinux", f"-I{ROOT}/bpf/abi"]


def arguments():
    parser = argparse.ArgumentParser()
    for tool, default in [("cc", "cc"), ("cxx", "c++"), ("clang", "clang"), ("bpftool", "bpftool")]:
        parser.add_argument("--" + tool, default=default)
    parser.add_argument("objects", nargs="*")
    return parser.parse_args()


def skip(reason):
    print(f"SKIP: {reason}")
    sys.exit(77)


def run(*command):
    """Standard output; ends the test with the command's words when it fails."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


def abi_structs():
    return [name for header in ABI_HEADERS for name in STRUCT.findall(header.read_text())]


class Btf:
    """The types of one file, by id and by name."""

    def __init__(self, bpftool, path):
        types = json.loads(run(bpftool, "-j", "btf", "dump", "file", path))["types"]
        self.by_id = {t["id"]: t for t in types}
        self.structs = {t["name"]: t for t in types
                        if t["kind"] in ("STRUCT", "UNION") and t["name"] != "(anon)"}
        self.typedefs = {t["name"]: t for t in types if t["kind"] == "TYPEDEF"}

    def resolve(self, type_id):
        """The type without typedefs and qualifiers; None for void."""
        found = self.by_id.get(type_id)
        while found and found["kind"] in ("TYPEDEF", "CONST", "VOLATILE", "RESTRICT", "TYPE_TAG"):
            found = self.by_id.get(found["type_id"])
        return found

    def size(self, type_id):
        found = self.resolve(type_id)
        if found["kind"] == "ARRAY":
            return found["nr_elems"] * self.size(found["type_id"])
        return 8 if found["kind"] == "PTR" else found["size"]
