// SPDX-License-Identifier: MIT
// An iterator's output is a stream of bytes: records may be cut by the end of a read.
#include "signals/iterator.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <cstring>
#include <vector>

#include "signals/signal.h"
#include "util/unique_fd.h"

namespace culprit {

namespace {

constexpr std::size_t kReadBytes = 256 * 1024; // more than the kernel gives at once

/// Hands over the whole records at the beginning; returns how many bytes they took. What has no
/// record's size cannot be told from what follows it: all of it is taken.
std::size_t take_records(std::span<const std::byte> bytes,
                         const std::function<void(std::span<const std::byte>)>& sink,
                         std::size_t& rejected) {
    std::size_t at = 0;
    while (bytes.size() - at >= sizeof(abi_head)) {
        const auto head = value_at<abi_head>(bytes, at);
        const Kind* kind = find_kind(head.kind);
        if (!kind || kind->size != head.size_bytes) {
            rejected++;
            return bytes.size();
        }
        if (bytes.size() - at < kind->size)
            break;
        sink(bytes.subspan(at, kind->size));
        at += kind->size;
    }
    return at;
}

} // namespace

void LinkDestroy::operator()(bpf_link* link) const {
    bpf_link__destroy(link);
}

Result<Link> attach_iterator(const bpf_program* program, const bpf_map* map) {
    bpf_iter_link_info info{};
    info.map.map_fd = map ? static_cast<__u32>(bpf_map__fd(map)) : 0;
    LIBBPF_OPTS(bpf_iter_attach_opts, options, .link_info = &info, .link_info_len = sizeof(info));
    Link link(bpf_program__attach_iter(program, map ? &options : nullptr));
    if (!link)
        return std::unexpected(sys_error(errno, "attach the iterator"));
    return link;
}

namespace {

/// Hands over what came so far until nothing more comes; `take` says how much of it it is done
/// with.
Result<void> read_all(const bpf_link* link,
                      const std::function<std::size_t(std::span<const std::byte>)>& take) {
    const UniqueFd fd(bpf_iter_create(bpf_link__fd(link)));
    if (!fd)
        return std::unexpected(sys_error(errno, "start the iterator"));
    std::vector<std::byte> buffer(kReadBytes);
    std::size_t have = 0;
    for (;;) {
        const ssize_t got = ::read(fd.get(), buffer.data() + have, buffer.size() - have);
        // a million things without output end a read with EAGAIN, a signal may come at any time
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            continue;
        if (got < 0)
            return std::unexpected(sys_error(errno, "run the iterator"));
        if (got == 0)
            return {};
        have += static_cast<std::size_t>(got);
        const std::size_t taken = take(std::span(buffer).first(have));
        have -= taken;
        std::memmove(buffer.data(), buffer.data() + taken, have);
    }
}

} // namespace

Result<std::vector<std::byte>> read_iterator(const bpf_link* link) {
    std::vector<std::byte> all;
    const auto done = read_all(link, [&](std::span<const std::byte> part) {
        all.insert(all.end(), part.begin(), part.end());
        return part.size();
    });
    if (!done)
        return std::unexpected(done.error());
    return all;
}

Result<std::size_t> run_iterator(const bpf_link* link,
                                 const std::function<void(std::span<const std::byte>)>& sink) {
    std::size_t rejected = 0, left = 0;
    const auto done = read_all(link, [&](std::span<const std::byte> part) {
        const std::size_t taken = take_records(part, sink, rejected);
        left = part.size() - taken;
        return taken;
    });
    if (!done)
        return std::unexpected(done.error());
    return rejected + (left ? 1 : 0);
}

} // namespace culprit
