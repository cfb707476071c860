// SPDX-License-Identifier: MIT
// Runs BPF iterators: programs that the kernel calls once for each thing there is, and only when
// asked.
#pragma once

#include <functional>
#include <memory>
#include <span>

#include "util/result.h"

struct bpf_link;
struct bpf_program;

namespace culprit {

struct LinkDestroy {
    void operator()(bpf_link* link) const;
};
using Link = std::unique_ptr<bpf_link, LinkDestroy>;

Result<Link> attach_iterator(bpf_program* program);

/// One run over everything there is; what the program writes goes to the sink record by record. An
/// iterator over sockets sees the network namespace of the calling thread. Returns how many pieces
/// were no record of ours.
Result<std::size_t> run_iterator(const bpf_link* link,
                                 const std::function<void(std::span<const std::byte>)>& sink);

} // namespace culprit
