// SPDX-License-Identifier: MIT
// The maps of one BPF object.
#pragma once

#include <bpf/libbpf.h>

#include "signals/capture.h"
#include "signals/signal.h"

namespace culprit {

/// Hooks keep the owners of all sockets in one map. A walk without hooks keeps there only those of
/// listening sockets, the others in maps of its own, which nothing else uses.
/// To be called before the object is loaded.
void size_maps(bpf_object* object, bool iterators_only);

class ObjectMaps : public MapReader {
public:
    explicit ObjectMaps(bpf_object* object) : x_object(object) {}

    bool each(const char* name, const Each& each) const override;
    bool put(const char* name, const void* key, const void* value) const override;
    bool erase(const char* name, const void* key) const override;
    bool run(const char* program, const char* map, const RecordSink& written) const override;

private:
    bpf_object* x_object;
};

/// What each loaded program of the object cost so far.
void add_costs(bpf_object* object, std::vector<ProgramCost>& costs);

} // namespace culprit
