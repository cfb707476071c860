// SPDX-License-Identifier: MIT
// One BPF object per signal: attached, polled and read.
#include "signals/capture.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "signals/all.h"
#include "signals/bpf_log.h"
#include "signals/iterator.h"
#include "signals/loader.h"
#include "signals/object_maps.h"
#include "signals/readers.h"
#include "util/log.h"
#include "util/time.h"

namespace culprit {

namespace {

struct RingFree {
    void operator()(ring_buffer* r) const { ring_buffer__free(r); }
};

constexpr std::size_t kPollMax = Capture::kPollMax;
constexpr std::uint64_t kLookNs = 200'000'000;

struct Loaded {
    const Signal* signal = nullptr;
    Object object;
    std::vector<Link> links;
    std::vector<Link> walks;      // iterators that write records
    std::vector<Link> file_walks; // iterators that fill the maps of owners
    std::unique_ptr<Totals> totals;
};

} // namespace

struct Capture::Impl {
    std::vector<Loaded> loaded;
    Readers readers;
    std::vector<Object> retired; // loaded but not attached: may own a shared map
    std::vector<SignalStatus> all_status;
    std::unique_ptr<ring_buffer, RingFree> ring;
    const RecordSink* sink = nullptr;
    std::uint64_t rejected = 0;
    std::size_t taken = 0;       // by this poll
    std::uint64_t looked_ns = 0; // when the totals last looked

    static int on_sample(void* self, void* data, std::size_t size);
    Result<void> attach(Loaded& into, SignalStatus& status, const CaptureOptions&);
    void take(Loading& one, const CaptureOptions&);
    void open_ring(const SharedMaps& shared);
    void look();
};

int Capture::Impl::on_sample(void* self, void* data, std::size_t size) {
    auto* impl = static_cast<Impl*>(self);
    const std::span record(static_cast<const std::byte*>(data), size);
    if (check_record(record))
        (*impl->sink)(record);
    else
        impl->rejected++;
    return ++impl->taken < kPollMax ? 0 : -EINTR; // a storm must not keep us from the clock
}

namespace {

Result<void> run_file_walk(const Link& walk) {
    const auto done = run_iterator(walk.get(), [](std::span<const std::byte>) {});
    if (!done)
        return std::unexpected(done.error().in(kTaskFileIterator));
    return {};
}

/// Owners are wanted from the beginning; a walk over a map's elements is run by the signal's
/// Totals, the others by walk_sockets().
Result<void> attach_walk(Loaded& into, const Hook& hook, bpf_program* program) {
    if (hook.tracepoint == std::string_view(kMapElemIterator))
        return {};
    auto link = attach_iterator(program);
    if (!link)
        return std::unexpected(link.error().in(hook.tracepoint));
    if (hook.tracepoint != std::string_view(kTaskFileIterator)) {
        into.walks.push_back(std::move(*link));
        return {};
    }
    into.file_walks.push_back(std::move(*link));
    return run_file_walk(into.file_walks.back());
}

Result<void> attach_hook(Loaded& into, const Hook& hook, bpf_program* program) {
    // tracing programs have no section that libbpf knows by now; see hook_types.cpp
    Link link(bpf_program__type(program) == BPF_PROG_TYPE_TRACING
                  ? bpf_program__attach_trace(program)
                  : bpf_program__attach_raw_tracepoint(program, hook.tracepoint));
    if (!link)
        return std::unexpected(sys_error(errno, std::string("attach to ") + hook.tracepoint));
    into.links.push_back(std::move(link));
    return {};
}

} // namespace

Result<void> Capture::Impl::attach(Loaded& into, SignalStatus& status,
                                   const CaptureOptions& options) {
    for (std::size_t i = 0; i < status.hooks.size(); i++) {
        const Hook& hook = into.signal->hooks[i];
        bpf_program* program = bpf_object__find_program_by_name(into.object.get(), hook.program);
        if (!status.hooks[i].arguments || !program || !runs(hook.tracepoint, options))
            continue;
        const Result<void> done = is_iterator(hook.tracepoint) ? attach_walk(into, hook, program)
                                                               : attach_hook(into, hook, program);
        status.hooks[i].attached = done.has_value();
        if (done)
            continue;
        if (hook.required)
            return done;
        status.state = State::kDegraded;
        status.why.push_back(done.error().what + ": " + hook.without);
    }
    return {};
}

void Capture::Impl::open_ring(const SharedMaps& shared) {
    const auto events = shared.find("events");
    if (events == shared.end() || loaded.empty())
        return;
    ring.reset(ring_buffer__new(events->second, &Impl::on_sample, this, nullptr));
    if (!ring)
        log(Level::kError, sys_error(errno, "map the ring buffer").what);
}

Capture::Capture() : x_impl(std::make_unique<Impl>()) {}
Capture::~Capture() = default;
Capture::Capture(Capture&&) noexcept = default;
Capture& Capture::operator=(Capture&&) noexcept = default;

const std::vector<SignalStatus>& Capture::status() const {
    return x_impl->all_status;
}
std::uint64_t Capture::rejected() const {
    return x_impl->rejected;
}

namespace {

std::vector<Loading> plan_all(const Features& features, const CaptureOptions& options) {
    std::vector<Loading> all;
    for (const Signal* signal : all_signals()) {
        const bool asked = std::ranges::any_of(
            signal->kinds, [&](const Kind* kind) { return options.kinds.contains(kind->id); });
        const bool owners = signal == all_signals().front() && !options.iterators_only;
        if (asked || owners)
            all.push_back({.signal = signal,
                           .status = plan_signal(*signal, features, options.iterators_only)});
    }
    return all;
}

} // namespace

/// What was loaded becomes part of the capture, or its status says why it does not.
void Capture::Impl::take(Loading& one, const CaptureOptions& options) {
    if (!one.is_wanted())
        return;
    Loaded now{.signal = one.signal, .object = std::move(one.object)};
    if (one.done && one.signal->totals) {
        now.totals = one.signal->totals();
        now.totals->take(ObjectMaps(now.object.get()), 0, [](std::span<const std::byte>) {});
    }
    if (one.done)
        one.done = attach(now, one.status, options);
    if (one.done) {
        loaded.push_back(std::move(now));
        return;
    }
    one.status.state = State::kOff;
    one.status.why.insert(one.status.why.begin(),
                          one.done.error().what); // the reason that counts first
    for (HookStatus& hook : one.status.hooks)
        hook.attached = false;
    retired.push_back(std::move(now.object));
}

void Capture::start(Features& features, const CaptureOptions& options) {
    send_bpf_messages_to_log();
    if (options.config.filters & ABI_FILTER_NETNS)
        x_impl->readers.look_only_in(options.config.netns);
    if (options.config.filters & ABI_FILTER_DEV)
        x_impl->readers.look_only_at(options.config.ifindex);
    std::vector<Loading> all = plan_all(features, options);
    const SharedMaps shared = load_objects(all, features, options);
    features.kernel_btf.reset();
    for (Loading& one : all) {
        if (const auto reader = one.signal->reader; reader && !options.iterators_only)
            x_impl->readers.add(reader(), x_impl->all_status.size());
        x_impl->take(one, options);
        x_impl->all_status.push_back(std::move(one.status));
    }
    x_impl->open_ring(shared);
}

void Capture::Impl::look() {
    const std::uint64_t now = boot_now_ns();
    if (now - looked_ns < kLookNs)
        return;
    looked_ns = now;
    for (const Loaded& one : loaded)
        if (one.totals)
            one.totals->look(ObjectMaps(one.object.get()));
}

Result<std::size_t> Capture::poll(int timeout_ms, const RecordSink& sink) {
    x_impl->look();
    if (!x_impl->ring) {
        if (timeout_ms > 0)
            usleep(static_cast<useconds_t>(timeout_ms) * 1000);
        return 0;
    }
    x_impl->sink = &sink;
    epoll_event ready{};
    if (timeout_ms > 0)
        epoll_wait(ring_buffer__epoll_fd(x_impl->ring.get()), &ready, 1, timeout_ms);
    x_impl->taken = 0;
    const int count = ring_buffer__consume(x_impl->ring.get());
    if (count < 0 && count != -EINTR)
        return std::unexpected(sys_error(count, "read the ring buffer"));
    return x_impl->taken;
}

bool Capture::can_walk_sockets() const {
    return std::ranges::any_of(x_impl->loaded,
                               [](const Loaded& one) { return !one.walks.empty(); });
}

Result<void> Capture::walk_sockets(const RecordSink& sink) {
    for (const Loaded& one : x_impl->loaded)
        for (const Link& walk : one.walks) {
            const auto done = run_iterator(walk.get(), sink);
            if (!done)
                return std::unexpected(done.error());
            x_impl->rejected += *done;
        }
    return {};
}

Result<void> Capture::walk_files() {
    for (const Loaded& one : x_impl->loaded)
        for (const Link& walk : one.file_walks)
            if (const auto done = run_file_walk(walk); !done)
                return done;
    // who looks at sockets by their owners does so anew
    x_impl->looked_ns = 0;
    x_impl->look();
    return {};
}

void Capture::take_totals(std::uint64_t now_ns, const RecordSink& sink) {
    for (const Loaded& one : x_impl->loaded)
        if (one.totals)
            one.totals->take(ObjectMaps(one.object.get()), now_ns, sink);
}

bool Capture::looks_into(std::uint32_t netns) const {
    return x_impl->readers.is_wanted(netns);
}

bool Capture::reads_netns(std::uint32_t netns) const {
    return x_impl->readers.look_into(netns);
}

bool Capture::has_readers() const {
    return !x_impl->readers.empty();
}
void Capture::show_readers(std::span<const std::byte> record, const Names& names) {
    x_impl->readers.see(record, names);
}

void Capture::read_host(std::uint64_t now_ns, const RecordSink& sink) {
    x_impl->readers.read_host(now_ns, sink, x_impl->all_status);
}
void Capture::read_netns(std::uint32_t netns, std::uint64_t now_ns, const RecordSink& sink) {
    x_impl->readers.read_netns(netns, now_ns, sink, x_impl->all_status);
}

Ledgers Capture::ledgers() const {
    Ledgers sums;
    if (x_impl->loaded.empty())
        return sums;
    const ObjectMaps maps(x_impl->loaded.front().object.get());
    maps.each("ledgers",
              [&](const void* key, const std::byte* values, std::size_t cpus, std::size_t stride) {
                  std::uint32_t kind = 0;
                  std::memcpy(&kind, key, sizeof(kind));
                  if (find_kind(kind))
                      sums[kind] = sum_percpu<abi_ledger>(values, cpus, stride);
              });
    return sums;
}

std::vector<ProgramCost> Capture::costs() const {
    std::vector<ProgramCost> costs;
    for (const Loaded& one : x_impl->loaded)
        add_costs(one.object.get(), costs);
    return costs;
}

} // namespace culprit
