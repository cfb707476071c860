// SPDX-License-Identifier: MIT
// The maps of one loaded BPF object.
#pragma once

#include <bpf/libbpf.h>

#include "signals/signal.h"

namespace culprit {

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

} // namespace culprit
