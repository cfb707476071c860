// SPDX-License-Identifier: MIT
// Capabilities by libcap-ng, system calls by libseccomp. A list of what is refused, not of what is
// allowed: libraries change the calls they make, and a diagnosis must not break by an update.
#include "kernel/confinement.h"

#include <cap-ng.h>
#include <linux/bpf.h>
#include <seccomp.h>
#include <sys/prctl.h>

#include <array>
#include <cerrno>
#include <memory>

namespace culprit {

namespace {

constexpr std::array kKept = {
    Capability{CAP_BPF, "CAP_BPF"}, // maps and iterators
    Capability{CAP_SYS_ADMIN,
               "CAP_SYS_ADMIN"}, // other network namespaces, programs of others by id
    Capability{CAP_NET_ADMIN, "CAP_NET_ADMIN"},   // firewall rules, drivers' statistics
    Capability{CAP_SYS_PTRACE, "CAP_SYS_PTRACE"}, // files and namespaces of other users' processes
    Capability{CAP_DAC_READ_SEARCH, "CAP_DAC_READ_SEARCH"}, // the same, and cgroups by number
    Capability{CAP_SYSLOG, "CAP_SYSLOG"},                   // addresses of the kernel's functions
};

constexpr std::array kRefusedCalls = {
    SCMP_SYS(execve),
    SCMP_SYS(execveat),
    SCMP_SYS(ptrace),
    SCMP_SYS(process_vm_readv),
    SCMP_SYS(process_vm_writev),
    SCMP_SYS(init_module),
    SCMP_SYS(finit_module),
    SCMP_SYS(delete_module),
    SCMP_SYS(kexec_load),
    SCMP_SYS(kexec_file_load),
    SCMP_SYS(mount),
    SCMP_SYS(umount2),
    SCMP_SYS(move_mount),
    SCMP_SYS(open_tree),
    SCMP_SYS(fsopen),
    SCMP_SYS(fsmount),
    SCMP_SYS(pivot_root),
    SCMP_SYS(chroot),
    SCMP_SYS(reboot),
    SCMP_SYS(swapon),
    SCMP_SYS(swapoff),
    SCMP_SYS(settimeofday),
    SCMP_SYS(clock_settime),
    SCMP_SYS(clock_adjtime),
    SCMP_SYS(adjtimex),
    SCMP_SYS(sethostname),
    SCMP_SYS(setdomainname),
    SCMP_SYS(setuid),
    SCMP_SYS(setgid),
    SCMP_SYS(setreuid),
    SCMP_SYS(setregid),
    SCMP_SYS(setresuid),
    SCMP_SYS(setresgid),
    SCMP_SYS(setgroups),
    SCMP_SYS(setfsuid),
    SCMP_SYS(setfsgid),
    SCMP_SYS(kill),
    SCMP_SYS(tkill),
    SCMP_SYS(chmod),
    SCMP_SYS(fchmod),
    SCMP_SYS(fchmodat),
    SCMP_SYS(chown),
    SCMP_SYS(fchown),
    SCMP_SYS(fchownat),
    SCMP_SYS(lchown),
    SCMP_SYS(unlink),
    SCMP_SYS(unlinkat),
    SCMP_SYS(rename),
    SCMP_SYS(renameat),
    SCMP_SYS(renameat2),
    SCMP_SYS(add_key),
    SCMP_SYS(keyctl),
    SCMP_SYS(request_key),
    SCMP_SYS(userfaultfd),
    SCMP_SYS(io_uring_setup),
    SCMP_SYS(listen),
};

constexpr std::array kRefusedBpf = {
    BPF_PROG_LOAD,           BPF_MAP_CREATE, BPF_PROG_ATTACH,
    BPF_RAW_TRACEPOINT_OPEN, BPF_BTF_LOAD,   BPF_PROG_TEST_RUN,
};

Result<void> drop_capabilities() {
    if (capng_get_caps_process() != 0)
        return fail(Code::kFailed, "read the capabilities of this process");
    const bool may_limit = capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP) != 0;
    std::array<bool, kKept.size()> had{};
    for (std::size_t i = 0; i < had.size(); i++)
        had[i] = capng_have_capability(CAPNG_PERMITTED, static_cast<unsigned>(kKept[i].number));
    capng_clear(may_limit ? CAPNG_SELECT_ALL : CAPNG_SELECT_CAPS);
    for (std::size_t i = 0; i < had.size(); i++)
        if (had[i])
            capng_update(CAPNG_ADD, static_cast<capng_type_t>(CAPNG_EFFECTIVE | CAPNG_PERMITTED),
                         static_cast<unsigned>(kKept[i].number));
    if (capng_apply(may_limit ? CAPNG_SELECT_ALL : CAPNG_SELECT_CAPS) != 0)
        return std::unexpected(sys_error(errno, "drop capabilities"));
    return {};
}

struct FilterRelease {
    void operator()(void* filter) const { seccomp_release(filter); }
};

Result<void> refuse_calls() {
    const std::unique_ptr<void, FilterRelease> filter(seccomp_init(SCMP_ACT_ALLOW));
    if (!filter)
        return fail(Code::kFailed, "make a filter of system calls");
    constexpr std::uint32_t kRefuse = SCMP_ACT_ERRNO(EPERM);
    int error = 0;
    for (const int call : kRefusedCalls)
        error = error ? error : seccomp_rule_add(filter.get(), kRefuse, call, 0);
    for (const bpf_cmd command : kRefusedBpf)
        error = error ? error
                      : seccomp_rule_add(filter.get(), kRefuse, SCMP_SYS(bpf), 1,
                                         SCMP_A0(SCMP_CMP_MASKED_EQ, 0xffffffffU, command));
    error = error ? error : seccomp_load(filter.get());
    return error ? std::unexpected(sys_error(error, "install a filter of system calls"))
                 : Result<void>{};
}

} // namespace

std::span<const Capability> kept_capabilities() {
    return kKept;
}

bool has_capability(int number) {
    return capng_get_caps_process() == 0 &&
           capng_have_capability(CAPNG_EFFECTIVE, static_cast<unsigned>(number)) != 0;
}

Result<void> confine() {
    if (const auto done = drop_capabilities(); !done)
        return done;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return std::unexpected(sys_error(errno, "give up new privileges"));
    return refuse_calls();
}

} // namespace culprit
