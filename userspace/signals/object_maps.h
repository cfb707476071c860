// SPDX-License-Identifier: MIT
// The maps and iterators of one loaded BPF object.
#pragma once

#include <bpf/libbpf.h>

#include <memory>

#include "signals/signal.h"
#include "util/result.h"

namespace culprit {

struct LinkDestroy {
    void operator()(bpf_link* link) const { bpf_link__destroy(link); }
};
using Link = std::unique_ptr<bpf_link, LinkDestroy>;

/// Runs an iterator program once, over everything or over the elements of a map.
Result<void> run_iterator(const bpf_program* program, const bpf_map* map,
                          const RecordSink& written);

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
