// SPDX-License-Identifier: MIT
// One bpf_object per signal; the ring, the ledger and the owners are shared by reusing the first
// one's maps.
#include "signals/capture.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <thread>

#include <fmt/format.h>

#include "signals/all.h"
#include "signals/bpf_log.h"
#include "signals/iterator.h"
#include "signals/object_maps.h"
#include "signals/readers.h"
#include "util/log.h"
#include "util/time.h"

namespace culprit {

namespace {

struct ObjectClose {
    void operator()(bpf_object* o) const { bpf_object__close(o); }
};
struct RingFree {
    void operator()(ring_buffer* r) const { ring_buffer__free(r); }
};
using Object = std::unique_ptr<bpf_object, ObjectClose>;

constexpr std::size_t kPollMax = Capture::kPollMax;
constexpr std::uint64_t kLookNs = 200'000'000;
constexpr const char* kShared[] = {"events",    "ledgers", "owners",
                                   "listeners", "servers", "datagram_owners"};

std::string why_not_loaded(int error, const Features& features) {
    if (error == -EPERM &&
        !(features.capabilities.contains("CAP_BPF") && features.capabilities.at("CAP_BPF")))
        return "loading needs CAP_BPF and CAP_PERFMON: run as root or with these capabilities";
    if (error == -EPERM)
        return "the kernel refused to load it (EPERM): a lockdown or security module is in the way";
    return sys_error(error, "the kernel refused to load it").what + " (see --debug)";
}

bool runs(std::string_view hook, const CaptureOptions& options) {
    return is_iterator(hook) || !options.iterators_only;
}

struct Loaded {
    const Signal* signal = nullptr;
    Object object;
    std::vector<Link> links;
    std::vector<Link> walks;      // iterators that write records
    std::vector<Link> file_walks; // iterators that fill the maps of owners
    std::unique_ptr<Totals> totals;
};

/// A signal on its way: planned, then loaded, then attached.
struct Loading {
    SignalStatus status;
    Loaded loaded;
    Result<void> done;
};

} // namespace

struct Capture::Impl {
    std::vector<Loaded> loaded;
    Readers readers;
    std::vector<Object> retired; // loaded but not attached: may own a shared map
    std::vector<SignalStatus> all_status;
    std::map<std::string, int> shared; // map name -> fd, owned by the object that made it
    std::unique_ptr<ring_buffer, RingFree> ring;
    const RecordSink* sink = nullptr;
    std::uint64_t rejected = 0;
    std::size_t taken = 0;       // by this poll
    std::uint64_t looked_ns = 0; // when the totals last looked

    static int on_sample(void* self, void* data, std::size_t size);
    void load_all(std::vector<Loading>& all, const Features&, const CaptureOptions&);
    Result<void> load(Loaded& into, const Features&, const CaptureOptions&,
                      const SignalStatus&) const;
    Result<void> attach(Loaded& into, SignalStatus& status, const CaptureOptions&);
    void share_maps(bpf_object* object) const;
    void remember_shared(bpf_object* object);
    void open_ring();
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

void Capture::Impl::share_maps(bpf_object* object) const {
    for (const auto& [name, fd] : shared)
        if (bpf_map* map = bpf_object__find_map_by_name(object, name.c_str()))
            bpf_map__reuse_fd(map, fd);
}

void Capture::Impl::remember_shared(bpf_object* object) {
    for (const char* name : kShared)
        if (const bpf_map* map = bpf_object__find_map_by_name(object, name))
            shared.try_emplace(name, bpf_map__fd(map));
}

Result<void> Capture::Impl::load(Loaded& into, const Features& features,
                                 const CaptureOptions& options, const SignalStatus& status) const {
    const std::span<const std::byte> elf = into.signal->elf();
    LIBBPF_OPTS(bpf_object_open_opts, open, .object_name = into.signal->name);
    into.object.reset(bpf_object__open_mem(elf.data(), elf.size(), &open));
    if (!into.object)
        return std::unexpected(sys_error(errno, "open the BPF object"));
    bpf_object* object = into.object.get();
    abi_config config = options.config;
    config.probe_reads = features.may_read_packets();
    config.tick_ns = tick_ns();
    config.holders = options.iterators_only;
    config.self = static_cast<__u32>(::getpid());
    for (const std::uint32_t kind : options.kinds)
        config.kinds |= 1ULL << kind;
    for (std::size_t i = 0; i < status.hooks.size(); i++) {
        config.args[i] = status.hooks[i].arguments;
        if (bpf_program* program =
                bpf_object__find_program_by_name(object, into.signal->hooks[i].program))
            bpf_program__set_autoload(program, config.args[i] != 0 &&
                                                   runs(into.signal->hooks[i].tracepoint, options));
    }
    bpf_map* constants = bpf_object__find_map_by_name(object, ".rodata.config");
    if (!constants || bpf_map__set_initial_value(constants, &config, sizeof(config)))
        return fail(Code::kFailed, "the BPF object has no constants of the expected size");
    share_maps(object);
    size_maps(object, options.iterators_only);
    const std::uint64_t began = boot_now_ns();
    if (const int error = bpf_object__load(object))
        return fail(error == -EPERM ? Code::kDenied : Code::kFailed,
                    why_not_loaded(error, features));
    log(Level::kDebug, fmt::format("signal {} loaded in {:.1f} ms", into.signal->name,
                                   static_cast<double>(boot_now_ns() - began) / 1e6));
    return {};
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
    Link link(bpf_program__attach(program));
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

/// The first object that loads makes the shared maps; the others then load side by side, since most
/// of the time goes into reading BTF and into the verifier.
void Capture::Impl::load_all(std::vector<Loading>& all, const Features& features,
                             const CaptureOptions& options) {
    std::vector<std::thread> threads;
    for (Loading& one : all) {
        if (one.status.state == State::kOff || !one.loaded.signal->elf)
            continue;
        const auto work = [&] { one.done = load(one.loaded, features, options, one.status); };
        if (!shared.empty()) {
            threads.emplace_back(work);
            continue;
        }
        work();
        if (one.done)
            remember_shared(one.loaded.object.get());
    }
    for (std::thread& thread : threads)
        thread.join();
}

void Capture::Impl::open_ring() {
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

void Capture::start(const Features& features, const CaptureOptions& options) {
    send_bpf_messages_to_log();
    if (options.config.filters & ABI_FILTER_NETNS)
        x_impl->readers.look_only_in(options.config.netns);
    std::vector<Loading> all;
    for (const Signal* signal : all_signals()) {
        const bool asked = std::ranges::any_of(
            signal->kinds, [&](const Kind* kind) { return options.kinds.contains(kind->id); });
        const bool owners = signal == all_signals().front() && !options.iterators_only;
        if (!asked && !owners)
            continue;
        Loading& one = all.emplace_back();
        one.status = plan_signal(*signal, features, options.iterators_only);
        one.loaded.signal = signal;
    }
    x_impl->load_all(all, features, options);
    for (Loading& one : all) {
        SignalStatus& status = one.status;
        if (const auto reader = one.loaded.signal->reader; reader && !options.iterators_only)
            x_impl->readers.add(reader(), x_impl->all_status.size());
        if (!one.loaded.signal->elf) {
            x_impl->all_status.push_back(std::move(status));
            continue;
        }
        if (status.state != State::kOff && one.done && one.loaded.signal->totals) {
            one.loaded.totals = one.loaded.signal->totals();
            one.loaded.totals->take(ObjectMaps(one.loaded.object.get()), 0,
                                    [](std::span<const std::byte>) {});
        }
        if (status.state != State::kOff && one.done)
            one.done = x_impl->attach(one.loaded, status, options);
        if (!one.done) {
            status.state = State::kOff;
            status.why.insert(status.why.begin(),
                              one.done.error().what); // the reason that counts first
            for (HookStatus& hook : status.hooks)
                hook.attached = false;
            x_impl->retired.push_back(std::move(one.loaded.object));
        } else if (status.state != State::kOff) {
            x_impl->loaded.push_back(std::move(one.loaded));
        }
        x_impl->all_status.push_back(std::move(status));
    }
    x_impl->open_ring();
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
