// SPDX-License-Identifier: MIT
// The maps of one loaded BPF object, by name.
#pragma once

#include "signals/signal.h"

struct bpf_object;

namespace culprit {

class ObjectMaps : public MapReader {
public:
    explicit ObjectMaps(bpf_object* object) : x_object(object) {}

    bool each(const char* name, const Each& each) const override;
    bool put(const char* name, const void* key, const void* value) const override;

private:
    bpf_object* x_object;
};

} // namespace culprit
