// SPDX-License-Identifier: MIT
// From a signal's plan to a loaded BPF object: constants, shared maps, the kernel's types.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>

#include "kernel/features.h"
#include "signals/capture.h"

struct bpf_object;

namespace culprit {

struct ObjectClose {
    void operator()(bpf_object* o) const;
};
using Object = std::unique_ptr<bpf_object, ObjectClose>;

/// One signal's object on its way.
struct Loading {
    const Signal* signal = nullptr;
    SignalStatus status; // the plan
    Object object;
    Result<void> done;

    /// It has an object, and this kernel has its hooks.
    bool is_wanted() const { return signal->elf && status.state != State::kOff; }
};

/// Map name -> fd, owned by the object that made it.
using SharedMaps = std::map<std::string, int>;

/// False for a hook that is planned but does not run with these options.
bool runs(std::string_view hook, const CaptureOptions& options);

/// Loads every object that is wanted, or says in its place why it could not. Returns the maps they
/// share.
SharedMaps load_objects(std::span<Loading> all, const Features& features,
                        const CaptureOptions& options);

} // namespace culprit
