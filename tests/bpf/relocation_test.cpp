// SPDX-License-Identifier: MIT
// Are programs the same whether they are relocated with the kernel's whole BTF or with the part
// picked from it?
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include <cstring>
#include <utility>

#include "kernel/core_types.h"
#include "signals/loader.h"
#include "signals/signal.h"
#include "support/catch.h"
#include "support/two_ns.h"

using namespace culprit;
using namespace culprit::test;

namespace {

using Words = std::vector<std::uint64_t>; // one instruction each

Object open(const Signal& signal, const char* types) {
    const auto elf = signal.elf();
    LIBBPF_OPTS(bpf_object_open_opts, options, .object_name = signal.name,
                .btf_custom_path = types);
    Object object(bpf_object__open_mem(elf.data(), elf.size(), &options));
    REQUIRE(object);
    return object;
}

/// The numbers of maps differ from run to run.
std::uint64_t without_map(const bpf_insn& instruction) {
    bpf_insn copy = instruction;
    if (copy.code == (BPF_LD | BPF_IMM | BPF_DW) && copy.src_reg)
        copy.imm = 0;
    std::uint64_t word = 0;
    std::memcpy(&word, &copy, sizeof(word));
    return word;
}

/// Of all programs, also of those this kernel has no hook for: they are relocated before one fails.
std::pair<int, Words> relocate(const Signal& signal, const char* types) {
    const Object object = open(signal, types);
    bpf_program* program = nullptr;
    bpf_object__for_each_program(program, object.get()) bpf_program__set_autoload(program, true);
    const int result = bpf_object__load(object.get());
    Words words;
    bpf_object__for_each_program(program, object.get()) {
        const bpf_insn* code = bpf_program__insns(program);
        for (std::size_t i = 0; i < bpf_program__insn_cnt(program); i++)
            words.push_back(without_map(code[i]));
    }
    return {result, words};
}

} // namespace

TEST_CASE("the picked types relocate every program as the whole BTF does", "[relocation_test]") {
    need_root();
    const Btf whole(btf__load_vmlinux_btf());
    if (!whole)
        skip("this kernel has no BTF");
    TypeNames names;
    for (const Signal* signal : all_signals())
        if (signal->elf)
            add_type_names(bpf_object__btf(open(*signal, nullptr).get()), names);
    const auto picked = core_types(whole.get(), names);
    REQUIRE(picked);
    CHECK(btf__type_cnt(picked->get()) < btf__type_cnt(whole.get()) / 10);
    CoreTypesFile file;
    REQUIRE(file.write(picked->get()));

    for (const Signal* signal : all_signals()) {
        if (!signal->elf)
            continue;
        INFO(signal->name);
        const auto [result, words] = relocate(*signal, nullptr);
        REQUIRE_FALSE(words.empty());
        CHECK(relocate(*signal, file.path().c_str()) == std::pair(result, words));
    }
}
