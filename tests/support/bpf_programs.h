// SPDX-License-Identifier: MIT
// BPF programs of a few instructions, made without a compiler.
#pragma once

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <linux/if_link.h>

#include <string>
#include <vector>

#include "support/two_ns.h"
#include "util/unique_fd.h"

namespace culprit::test {

/// The answers of a program.
enum : int { kXdpAborted = 0, kXdpDrop = 1, kXdpPass = 2, kTcOk = 0, kTcShot = 2 };

inline bpf_insn load_r0(int value) {
    return {BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, value};
}

inline std::vector<bpf_insn> always(int answer) {
    return {load_r0(answer), {BPF_JMP | BPF_EXIT, 0, 0, 0, 0}};
}

/// `rare` for that many packets in a thousand.
inline std::vector<bpf_insn> sometimes(int per_mille, int rare, int otherwise) {
    std::vector<bpf_insn> code = {
        {BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_get_prandom_u32},
        {BPF_ALU64 | BPF_MOD | BPF_K, BPF_REG_0, 0, 0, 1000},
        {BPF_JMP | BPF_JLT | BPF_K, BPF_REG_0, 0, 2, per_mille},
    };
    for (const int answer : {otherwise, rare})
        for (const bpf_insn& one : always(answer))
            code.push_back(one);
    return code;
}

inline UniqueFd load_program(bpf_prog_type type, const std::string& name,
                             const std::vector<bpf_insn>& code, int attach_type = 0) {
    LIBBPF_OPTS(bpf_prog_load_opts, options);
    options.expected_attach_type = static_cast<bpf_attach_type>(attach_type);
    UniqueFd program(bpf_prog_load(type, name.c_str(), "GPL", code.data(), code.size(), &options));
    must(bool(program), "load a BPF program");
    return program;
}

inline std::uint32_t id_of(const UniqueFd& program) {
    bpf_prog_info info{};
    std::uint32_t size = sizeof(info);
    must(bpf_obj_get_info_by_fd(program.get(), &info, &size) == 0, "ask for a program's id");
    return info.id;
}

/// To the side's device until that is gone.
inline void attach_xdp(const Side& side, const UniqueFd& program, std::uint32_t flags = 0) {
    side.in([&] {
        const auto ifindex = static_cast<int>(::if_nametoindex(side.device.c_str()));
        must(bpf_xdp_attach(ifindex, program.get(), flags, nullptr) == 0, "attach XDP");
    });
}

/// As a tc filter, BPF_TC_INGRESS or BPF_TC_EGRESS.
inline void attach_tc(const Side& side, const UniqueFd& program, bpf_tc_attach_point point) {
    side.in([&] {
        LIBBPF_OPTS(bpf_tc_hook, hook);
        LIBBPF_OPTS(bpf_tc_opts, options);
        hook.ifindex = static_cast<int>(::if_nametoindex(side.device.c_str()));
        hook.attach_point = point;
        options.prog_fd = program.get();
        if (bpf_tc_hook_create(&hook) != 0)
            skip("this kernel has no clsact qdisc");
        must(bpf_tc_attach(&hook, &options) == 0, "attach a tc program");
    });
}

} // namespace culprit::test
