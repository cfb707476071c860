// SPDX-License-Identifier: MIT
// Reads BTF once and finds the few facts wanted from it in one pass.
#include "kernel/features.h"

#include <bpf/btf.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sys/utsname.h>

#include <array>
#include <fstream>
#include <string_view>

#include "kernel/core_types.h"
#include "util/text.h"
#include "util/unique_fd.h"

namespace culprit {

namespace {

/// What is wanted of the BTF, found in one pass: it has 100 000 types and more, and a look-up by
/// name reads them all.
struct Found {
    std::map<std::string, __u32> tracepoints; // of the typedef btf_trace_X
    std::map<std::string, __u32> functions;   // iterators, and the helper they need
};

/// btf_trace_X is a typedef of a pointer to a function whose first parameter is the probe's private
/// data.
std::uint32_t count_args(const btf* btf, __u32 id) {
    const btf_type* type = id ? btf__type_by_id(btf, id) : nullptr;
    const btf_type* pointer = type ? btf__type_by_id(btf, type->type) : nullptr;
    const btf_type* proto =
        pointer && btf_is_ptr(pointer) ? btf__type_by_id(btf, pointer->type) : nullptr;
    return proto && btf_is_func_proto(proto) && btf_vlen(proto) ? btf_vlen(proto) - 1U : 0;
}

bool is_walk(const std::string& hook) {
    return hook.starts_with("iter/");
}

/// 0 when there is none. An iterator is the function its programs look like.
__u32 type_of(const Found& found, const std::string& hook) {
    const auto& types = is_walk(hook) ? found.functions : found.tracepoints;
    const auto it =
        types.find(is_walk(hook) ? "bpf_iter_" + hook.substr(hook.find('/') + 1) : hook);
    return it == types.end() ? 0 : it->second;
}

/// An iterator has one argument, its context. That over file tables counts as one with two where
/// there is the helper that leads from a file to its socket.
std::uint32_t iterator_args(const Found& found, const std::string& hook) {
    if (!type_of(found, hook))
        return 0;
    return hook == "iter/task_file" && found.functions.contains("bpf_sock_from_file") ? 2 : 1;
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

Found read_types(const btf* btf, Features& features) {
    constexpr std::string_view kTrace = "btf_trace_";
    Found found;
    const __u32 count = btf__type_cnt(btf);
    for (__u32 id = 1; id < count; id++) {
        const btf_type* type = btf__type_by_id(btf, id);
        const bool is_enum = btf_is_enum(type), is_function = btf_is_func(type);
        if (!is_enum && !is_function && !btf_is_typedef(type))
            continue;
        const std::string_view name = btf__name_by_offset(btf, type->name_off);
        if (is_enum && name.ends_with("_drop_reason"))
            read_enum(btf, type, features.drop_reasons);
        else if (is_enum && name == "sk_rst_reason")
            read_enum(btf, type, features.reset_reasons);
        else if (is_function && (name.starts_with("bpf_iter_") || name == "bpf_sock_from_file"))
            found.functions.emplace(name, id);
        else if (!is_function && name.starts_with(kTrace))
            found.tracepoints.emplace(name.substr(kTrace.size()), id);
    }
    return found;
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
    static constexpr std::pair<const char*, int> kWanted[] = {
        {"CAP_BPF", CAP_BPF},
        {"CAP_PERFMON", CAP_PERFMON},
        {"CAP_SYS_ADMIN", CAP_SYS_ADMIN},
        {"CAP_SYS_PTRACE", CAP_SYS_PTRACE},
        {"CAP_NET_ADMIN", CAP_NET_ADMIN},
        {"CAP_SYSLOG", CAP_SYSLOG},
        {"CAP_DAC_READ_SEARCH", CAP_DAC_READ_SEARCH}};
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
    features.kernel_btf = Btf(btf__load_vmlinux_btf());
    const struct btf* btf = features.kernel_btf.get();
    if (!btf) {
        features.btf_error =
            sys_error(errno, "load the kernel's BTF (/sys/kernel/btf/vmlinux)").what;
        return features;
    }
    features.has_btf = true;
    const Found found = read_types(btf, features);
    for (const std::string& hook : wanted) {
        const __u32 type = type_of(found, hook);
        const std::uint32_t args =
            is_walk(hook) ? iterator_args(found, hook) : count_args(btf, type);
        if (!args || hidden.contains(hook))
            continue;
        features.hooks[hook] = args;
        features.hook_types[hook] = type;
    }
    return features;
}

} // namespace culprit
