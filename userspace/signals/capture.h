// SPDX-License-Identifier: MIT
// Loads and attaches the signals' programs, reads the ring and the maps, and says what could not
// run and why.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "abi/config.h"
#include "kernel/features.h"
#include "signals/signal.h"
#include "util/result.h"

namespace culprit {

enum class State { kOn, kDegraded, kOff };

struct HookStatus {
    std::string tracepoint;
    std::uint32_t arguments = 0;
    bool attached = false;
};

struct SignalStatus {
    std::string name;
    State state = State::kOff;
    std::vector<HookStatus> hooks;
    std::vector<std::string> gains;       // what this kernel's variant of the hooks brings
    std::vector<std::string> why;         // what is missing and what is lost by that; empty when on
    std::vector<std::string> unread = {}; // of `why`: what its reader could not read

    /// Some of its hooks work.
    bool is_watching() const { return std::ranges::any_of(hooks, &HookStatus::attached); }
};

/// Sums over all CPUs.
using Ledgers = std::map<std::uint32_t, abi_ledger>;

struct CaptureOptions {
    abi_config config{};           // filters and limits; the rest is filled in per signal
    std::set<std::uint32_t> kinds; // wanted ones; events among them go through the ring
    bool iterators_only = false;   // what there is now; no hook is attached
};

struct ProgramCost {
    std::string name;
    std::uint64_t runs = 0;
    std::uint64_t ns = 0; // of all runs; 0 unless kernel.bpf_stats_enabled is on
};

class Capture {
public:
    static constexpr std::size_t kPollMax = 65536; // records one poll() takes at most

    Capture();
    ~Capture();
    Capture(Capture&&) noexcept;
    Capture& operator=(Capture&&) noexcept;

    /// Signals that own one of the kinds, plus the one whose hooks know the owners. Never fails as
    /// a whole: see status(). Lets go of the kernel's BTF in `features`.
    void start(Features& features, const CaptureOptions& options);
    const std::vector<SignalStatus>& status() const;

    /// Waits up to timeout_ms for records and hands over at most kPollMax, in place: the bytes are
    /// gone after the call. Returns how many; an error when the ring cannot be read any more.
    Result<std::size_t> poll(int timeout_ms, const RecordSink& sink);

    /// False: the signal is off, or was not asked for.
    bool can_walk_sockets() const;
    /// All sockets of the network namespace this thread is in, as records.
    Result<void> walk_sockets(const RecordSink& sink);

    /// Looks again for the owners of sockets that nobody was seen using, in all file tables.
    Result<void> walk_files();

    /// What the maps counted since the last call, as records.
    void take_totals(std::uint64_t now_ns, const RecordSink& sink);

    /// Readers see what the totals brought, then find what is in the whole host, and in the
    /// namespace this thread is in. A reader that cannot read says so in its signal's status.
    bool has_readers() const;
    /// False: the user's filter leaves nothing of that namespace.
    bool looks_into(std::uint32_t netns) const;
    /// False: nothing is read there, so it is no use to go there.
    bool reads_netns(std::uint32_t netns) const;
    void show_readers(std::span<const std::byte> record, const Names& names);
    void read_host(std::uint64_t now_ns, const RecordSink& sink);
    void read_netns(std::uint32_t netns, std::uint64_t now_ns, const RecordSink& sink);

    Ledgers ledgers() const;
    std::uint64_t rejected() const; // pieces of the ring or a walk that were no record of ours
    std::vector<ProgramCost> costs() const;

private:
    struct Impl;
    std::unique_ptr<Impl> x_impl;
};

/// What start() would do: which hooks, without touching the kernel. Pure.
SignalStatus plan_signal(const Signal& signal, const Features& features,
                         bool iterators_only = false);

/// All tracepoints and iterators any signal asks for; one may be asked for twice.
std::vector<std::string> wanted_hooks();

} // namespace culprit
