// SPDX-License-Identifier: MIT
// libbpf asks the handler of a program's section right before it loads the program. Handlers belong
// to the process, and objects point to them as long as they live, so they are never taken back.
#include "signals/hook_types.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <cerrno>
#include <string_view>

#include "util/log.h"
#include "util/result.h"

namespace culprit {

namespace {

std::map<std::string, std::uint32_t>& known() {
    static std::map<std::string, std::uint32_t> types;
    return types;
}

/// "tp_btf/kfree_skb" is the hook kfree_skb, "iter/tcp" is called that.
std::string hook_of(std::string_view section) {
    constexpr std::string_view kTracepoint = "tp_btf/";
    return std::string(section.starts_with(kTracepoint) ? section.substr(kTracepoint.size())
                                                        : section);
}

/// Only now the program becomes one for tracing: of an object with such programs libbpf would load
/// the kernel's BTF.
int prepare(bpf_program* program, bpf_prog_load_opts* options, long) {
    const auto type = known().find(hook_of(bpf_program__section_name(program)));
    if (type == known().end())
        return -ESRCH;
    options->attach_btf_id = type->second;
    return bpf_program__set_type(program, BPF_PROG_TYPE_TRACING);
}

void handle(const char* section, bpf_attach_type attach) {
    LIBBPF_OPTS(libbpf_prog_handler_opts, options, .prog_prepare_load_fn = prepare);
    if (const int id =
            libbpf_register_prog_handler(section, BPF_PROG_TYPE_RAW_TRACEPOINT, attach, &options);
        id < 0)
        log(Level::kDebug, sys_error(id, std::string("handle programs of ") + section).what);
}

} // namespace

void set_hook_types(const std::map<std::string, std::uint32_t>& types) {
    if (known().empty() && !types.empty()) {
        handle("tp_btf+", BPF_TRACE_RAW_TP);
        handle("iter+", BPF_TRACE_ITER);
    }
    known() = types;
}

} // namespace culprit
