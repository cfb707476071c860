// SPDX-License-Identifier: MIT
// What the running kernel offers: asked of its BTF and of /proc, never concluded from a version
// number.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "util/result.h"

struct btf;

namespace culprit {

struct Features {
    std::string release; // uname -r
    bool has_btf = false;
    std::string btf_error;                 // why not
    std::shared_ptr<const btf> kernel_btf; // megabytes: until the programs are loaded
    std::string
        lockdown; // "none", "integrity", "confidentiality"; "unknown" when securityfs is not there
    bool has_symbols = false; // /proc/kallsyms shows addresses
    std::map<std::string, std::uint32_t>
        hooks; // tracepoint -> number of arguments, from btf_trace_*; "iter/NAME" -> 1
    std::map<std::string, std::uint32_t> hook_types; // hook -> id of its type in the BTF
    std::map<std::string, int> capabilities;         // "CAP_BPF" -> 1 effective, 0 not
    std::map<std::uint32_t, std::string>
        drop_reasons; // all *_drop_reason enums, subsystem ones included
    std::map<std::uint32_t, std::string> reset_reasons;

    /// 0 when the kernel has no such tracepoint.
    std::uint32_t args_of(const std::string& hook) const;
    bool may_read_packets() const { return lockdown != "confidentiality"; }
};

/// Never fails: what could not be learnt is absent, and the fields say why. `wanted` limits the
/// tracepoints looked up; `hidden` names tracepoints to treat as absent.
Features read_features(const std::vector<std::string>& wanted, const std::set<std::string>& hidden);

/// The whole content of a small file of /proc or /sys.
Result<std::string> read_file(const std::string& path);

} // namespace culprit
