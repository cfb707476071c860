// SPDX-License-Identifier: MIT
// Reads BTF once, keeps the few facts wanted from it and lets it go again: it is megabytes.
#include "kernel/features.h"

#include <bpf/btf.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sys/utsname.h>

#include <array>
#include <fstream>
#include <memory>
#include <string_view>

#include "util/text.h"
#include "util/unique_fd.h"

namespace culprit {

namespace {

struct BtfFree {
    void operator()(btf* b) const { btf__free(b); }
};

/// btf_trace_X is a typedef of a pointer to a function whose first parameter is the probe's private
/// data.
std::uint32_t count_args(const btf* btf, const std::string& hook) {
    const int id = btf__find_by_name_kind(btf, ("btf_trace_" + hook).c_str(), BTF_KIND_TYPEDEF);
    const btf_type* type = id > 0 ? btf__type_by_id(btf, static_cast<__u32>(id)) : nullptr;
    const btf_type* pointer = type ? btf__type_by_id(btf, type->type) : nullptr;
    const btf_type* proto =
        pointer && btf_is_ptr(pointer) ? btf__type_by_id(btf, pointer->type) : nullptr;
    return proto && btf_is_func_proto(proto) && btf_vlen(proto) ? btf_vlen(proto) - 1U : 0;
}

/// The kernel's names carry the enum's prefix: SKB_DROP_REASON_NO_SOCKET, QDISC_DROP_OVERLIMIT,
/// SK_RST_REASON_...
std::string strip_prefix(std::string name) {
    static constexpr std::array<std::string_view, 4> kPrefixes = {
        "SKB_DROP_REASON_", "SK_RST_REASON_TCP_", "SK_RST_REASON_", "SKB_"};
    for (const std::string_view prefix : kPrefixes)
        if (name.starts_with(prefix))
            return name.substr(prefix.size());
    return name;
}

void read_enum(const btf* btf, const btf_type* type, std::map<std::uint32_t, std::string>& into) {
    const struct btf_enum* values = btf_enum(type);
    for (int i = 0; i < btf_vlen(type); i++) {
        const char* name = btf__name_by_offset(btf, values[i].name_off);
        if (name && *name && !std::string_view(name).ends_with("_MAX"))
            into.emplace(static_cast<std::uint32_t>(values[i].val), strip_prefix(name));
    }
}

void read_reasons(const btf* btf, Features& features) {
    const __u32 count = btf__type_cnt(btf);
    for (__u32 id = 1; id < count; id++) {
        const btf_type* type = btf__type_by_id(btf, id);
        if (!btf_is_enum(type))
            continue;
        const std::string_view name = btf__name_by_offset(btf, type->name_off);
        if (name.ends_with("_drop_reason"))
            read_enum(btf, type, features.drop_reasons);
        else if (name == "sk_rst_reason")
            read_enum(btf, type, features.reset_reasons);
    }
}

/// "none [integrity] confidentiality": the one in brackets is in force.
std::string read_lockdown() {
    const auto text = read_file("/sys/kernel/security/lockdown");
    if (!text)
        return "unknown";
    const std::size_t from = text->find('['), to = text->find(']');
    return from < to && to != std::string::npos ? text->substr(from + 1, to - from - 1) : "unknown";
}

void read_capabilities(Features& features) {
    static constexpr std::pair<const char*, int> kWanted[] = {{"CAP_BPF", CAP_BPF},
                                                              {"CAP_PERFMON", CAP_PERFMON},
                                                              {"CAP_SYS_ADMIN", CAP_SYS_ADMIN},
                                                              {"CAP_SYS_PTRACE", CAP_SYS_PTRACE},
                                                              {"CAP_SYSLOG", CAP_SYSLOG}};
    const std::string status = read_file("/proc/self/status").value_or("");
    const std::size_t at = status.find("CapEff:");
    const std::uint64_t mask =
        at == std::string::npos ? 0 : std::stoull(status.substr(at + 7), nullptr, 16);
    for (const auto& [name, bit] : kWanted)
        features.capabilities[name] = mask >> bit & 1 ? 1 : 0;
}

/// Without CAP_SYSLOG every address reads as 0. Some are 0 in any case (per-CPU symbols come
/// first).
bool symbols_visible() {
    std::ifstream file("/proc/kallsyms");
    for (std::string line; std::getline(file, line);)
        if (line.find_first_not_of('0') != line.find(' '))
            return true;
    return false;
}

} // namespace

Result<std::string> read_file(const std::string& path) {
    const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd)
        return std::unexpected(sys_error(errno, "open " + path));
    std::string all;
    std::array<char, 16384> part;
    for (;;) {
        const ssize_t n = ::read(fd.get(), part.data(), part.size());
        if (n < 0)
            return std::unexpected(sys_error(errno, "read " + path));
        if (n == 0)
            return all;
        all.append(part.data(), static_cast<std::size_t>(n));
    }
}

std::uint32_t Features::args_of(const std::string& hook) const {
    const auto it = hooks.find(hook);
    return it == hooks.end() ? 0 : it->second;
}

Features read_features(const std::vector<std::string>& wanted,
                       const std::set<std::string>& hidden) {
    Features features;
    utsname name{};
    uname(&name);
    features.release = name.release;
    features.lockdown = read_lockdown();
    features.has_symbols = symbols_visible();
    read_capabilities(features);
    const std::unique_ptr<btf, BtfFree> btf(btf__load_vmlinux_btf());
    if (!btf) {
        features.btf_error =
            sys_error(errno, "load the kernel's BTF (/sys/kernel/btf/vmlinux)").what;
        return features;
    }
    features.has_btf = true;
    for (const std::string& hook : wanted)
        if (const std::uint32_t args = count_args(btf.get(), hook); args && !hidden.contains(hook))
            features.hooks[hook] = args;
    // the iterator itself is older than the one helper the walk needs
    if (btf__find_by_name_kind(btf.get(), "bpf_sock_from_file", BTF_KIND_FUNC) > 0 &&
        !hidden.contains("task_file"))
        features.hooks["task_file"] = 1;
    if (btf__find_by_name_kind(btf.get(), "bpf_iter__bpf_map_elem", BTF_KIND_STRUCT) > 0 &&
        !hidden.contains("bpf_map_elem"))
        features.hooks["bpf_map_elem"] = 1;
    read_reasons(btf.get(), features);
    return features;
}

} // namespace culprit
