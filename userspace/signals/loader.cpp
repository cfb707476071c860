// SPDX-License-Identifier: MIT
// The ring, the ledger and the owners are shared by reusing the maps of the first object.
#include "signals/loader.h"

#include <bpf/libbpf.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include <fmt/format.h>

#include "kernel/core_types.h"
#include "signals/hook_types.h"
#include "signals/object_maps.h"
#include "util/log.h"
#include "util/time.h"

namespace culprit {

namespace {

/// linux/bpf_verifier.h: BPF_LOG_STATS: how much work a program was.
constexpr __u32 kVerifierStats = 4;

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

double ms_since(std::uint64_t began) {
    return static_cast<double>(boot_now_ns() - began) / 1e6;
}

class Loader {
public:
    Loader(const Features& features, const CaptureOptions& options)
        : x_features(features), x_options(options) {}

    void open_all(std::span<Loading> all);
    void load_all(std::span<Loading> all);
    const SharedMaps& shared() const { return x_shared; }

private:
    Result<Object> open(const Signal& signal, const std::string& types) const;
    Result<void> make_types(std::span<Loading> all);
    Result<void> configure(bpf_object* object, const Loading& one) const;
    Result<void> load(Loading& one) const;
    void load_side_by_side(std::vector<Loading*> rest) const;
    void share_maps(bpf_object* object) const;
    void remember_shared(const bpf_object* object);

    const Features& x_features;
    const CaptureOptions& x_options;
    CoreTypesFile x_types; // the objects know its path before there is something in it
    SharedMaps x_shared;
};

/// With the kernel's whole BTF when `types` is empty.
Result<Object> Loader::open(const Signal& signal, const std::string& types) const {
    const std::span<const std::byte> elf = signal.elf();
    LIBBPF_OPTS(bpf_object_open_opts, options, .object_name = signal.name,
                .btf_custom_path = types.empty() ? nullptr : types.c_str(),
                .kernel_log_level = log_enabled(Level::kDebug) ? kVerifierStats : 0);
    Object object(bpf_object__open_mem(elf.data(), elf.size(), &options));
    if (!object)
        return std::unexpected(sys_error(errno, "open the BPF object"));
    return object;
}

Result<void> Loader::make_types(std::span<Loading> all) {
    TypeNames names;
    for (const Loading& one : all)
        if (one.object)
            add_type_names(bpf_object__btf(one.object.get()), names);
    const Result<Btf> types = core_types(x_features.kernel_btf.get(), names);
    if (!types)
        return std::unexpected(types.error());
    return x_types.write(types->get());
}

void Loader::open_all(std::span<Loading> all) {
    const std::uint64_t began = boot_now_ns();
    set_hook_types(x_features.hook_types);
    const std::string types = x_features.kernel_btf ? x_types.path() : "";
    for (Loading& one : all) {
        if (!one.is_wanted())
            continue;
        auto object = open(*one.signal, types);
        if (object)
            one.object = std::move(*object);
        else
            one.done = std::unexpected(object.error());
    }
    if (types.empty())
        return;
    // without them each object fails, and is loaded anew
    if (const auto made = make_types(all); !made)
        log(Level::kDebug, made.error().what);
    log(Level::kDebug, fmt::format("opened {} objects and picked the kernel's types in {:.1f} ms",
                                   all.size(), ms_since(began)));
}

void Loader::share_maps(bpf_object* object) const {
    for (const auto& [name, fd] : x_shared)
        if (bpf_map* map = bpf_object__find_map_by_name(object, name.c_str()))
            bpf_map__reuse_fd(map, fd);
}

void Loader::remember_shared(const bpf_object* object) {
    for (const char* name : kShared)
        if (const bpf_map* map = bpf_object__find_map_by_name(object, name))
            x_shared.try_emplace(name, bpf_map__fd(map));
}

Result<void> Loader::configure(bpf_object* object, const Loading& one) const {
    abi_config config = x_options.config;
    config.probe_reads = x_features.may_read_packets();
    config.tick_ns = tick_ns();
    config.holders = x_options.iterators_only;
    config.self = static_cast<__u32>(::getpid());
    for (const std::uint32_t kind : x_options.kinds)
        config.kinds |= 1ULL << kind;
    for (std::size_t i = 0; i < one.status.hooks.size(); i++) {
        const Hook& hook = one.signal->hooks[i];
        config.args[i] = one.status.hooks[i].arguments;
        if (bpf_program* program = bpf_object__find_program_by_name(object, hook.program))
            bpf_program__set_autoload(program,
                                      config.args[i] != 0 && runs(hook.tracepoint, x_options));
    }
    bpf_map* constants = bpf_object__find_map_by_name(object, ".rodata.config");
    if (!constants || bpf_map__set_initial_value(constants, &config, sizeof(config)))
        return fail(Code::kFailed, "the BPF object has no constants of the expected size");
    share_maps(object);
    size_maps(object, x_options.iterators_only);
    return {};
}

/// The picked types are there for speed: what cannot be loaded with them gets the whole BTF.
Result<void> Loader::load(Loading& one) const {
    const std::uint64_t began = boot_now_ns();
    if (const auto done = configure(one.object.get(), one); !done)
        return done;
    int error = bpf_object__load(one.object.get());
    if (error && error != -EPERM && x_features.kernel_btf) {
        log(Level::kDebug,
            fmt::format("signal {} is loaded anew with the kernel's whole BTF", one.signal->name));
        auto object = open(*one.signal, "");
        if (!object)
            return std::unexpected(object.error());
        one.object = std::move(*object);
        if (const auto done = configure(one.object.get(), one); !done)
            return done;
        error = bpf_object__load(one.object.get());
    }
    if (error)
        return fail(error == -EPERM ? Code::kDenied : Code::kFailed,
                    why_not_loaded(error, x_features));
    log(Level::kDebug,
        fmt::format("signal {} loaded in {:.1f} ms", one.signal->name, ms_since(began)));
    return {};
}

/// The largest ones first, so that all CPUs are done at about the same time.
void Loader::load_side_by_side(std::vector<Loading*> rest) const {
    std::ranges::stable_sort(rest, std::greater{},
                             [](const Loading* one) { return one->signal->elf().size(); });
    std::atomic<std::size_t> next = 0;
    const auto work = [&] {
        for (std::size_t i = next++; i < rest.size(); i = next++)
            rest[i]->done = load(*rest[i]);
    };
    const std::size_t cpus = std::max(1U, std::thread::hardware_concurrency());
    std::vector<std::jthread> threads;
    for (std::size_t i = 1; i < std::min(cpus, rest.size()); i++)
        threads.emplace_back(work);
    work();
}

/// The first object that loads makes the shared maps; the others then load side by side, since most
/// of the time goes into the verifier.
void Loader::load_all(std::span<Loading> all) {
    std::vector<Loading*> rest;
    for (Loading& one : all) {
        if (!one.object)
            continue;
        if (!x_shared.empty()) {
            rest.push_back(&one);
            continue;
        }
        one.done = load(one);
        if (one.done)
            remember_shared(one.object.get());
    }
    load_side_by_side(std::move(rest));
}

} // namespace

void ObjectClose::operator()(bpf_object* o) const {
    bpf_object__close(o);
}

bool runs(std::string_view hook, const CaptureOptions& options) {
    return is_iterator(hook) || !options.iterators_only;
}

SharedMaps load_objects(std::span<Loading> all, const Features& features,
                        const CaptureOptions& options) {
    Loader loader(features, options);
    loader.open_all(all);
    loader.load_all(all);
    return loader.shared();
}

} // namespace culprit
