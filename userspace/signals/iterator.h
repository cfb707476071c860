// SPDX-License-Identifier: MIT
// Runs BPF iterators: programs that the kernel calls once for each thing there is, and only when
// asked.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "util/result.h"

struct bpf_link;
struct bpf_map;
struct bpf_program;

namespace culprit {

struct LinkDestroy {
    void operator()(bpf_link* link) const;
};
using Link = std::unique_ptr<bpf_link, LinkDestroy>;

/// Over everything there is of the program's kind, or over the elements of a map.
Result<Link> attach_iterator(const bpf_program* program, const bpf_map* map = nullptr);

/// One run; all that the program wrote, in one piece.
Result<std::vector<std::byte>> read_iterator(const bpf_link* link);

/// One run over everything there is; what the program writes goes to the sink record by record. An
/// iterator over sockets sees the network namespace of the calling thread. Returns how many pieces
/// were no record of ours.
Result<std::size_t> run_iterator(const bpf_link* link,
                                 const std::function<void(std::span<const std::byte>)>& sink);

} // namespace culprit
