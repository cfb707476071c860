// SPDX-License-Identifier: MIT
// What a signal is: data. Its hooks, its record kinds, their fields. Presenters, exporters and
// recordings walk these tables and never name a signal.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <span>
#include <string_view>

#include "abi/connection.h"
#include "abi/event.h"
#include "kernel/names.h"
#include "util/result.h"

namespace culprit {

enum class Type {
    kNumber,     // unsigned, 1 to 8 bytes
    kBytes,      // unsigned, a size
    kDurationNs, // unsigned, shown with a unit
    kDurationUs,
    kNamed,      // index into Field::names
    kErrno,      // positive errno
    kRouteError, // the same, of a route lookup: what the namespace's routes refuse is looked up
    kTcpState,
    kDropReason,
    kResetReason, // valid when the u32 behind it is not 0
    kSymbol,      // kernel address
    kEthertype,
    kIpProtocol,
    kTcpFlags,
    kHex,
    kText,      // char[size], hostile bytes
    kFlow,      // struct abi_flow: several columns
    kOwner,     // struct abi_owner: several columns
    kNetns,     // u32
    kDevice,    // u32 ifindex; the u32 before it is the namespace
    kHistogram, // u64[size / 8], slot i counts values below 2^i us
    kStack,     // u64[size / 8] kernel addresses, innermost first, up to the first 0
    kAddress,   // u8[16] as in abi_flow; the u32 before it is the family
    kMac,       // u8[8]: a link-layer address of six bytes, filled up with 0
    kDnsName,   // u8[]: a name as on the wire, filled up with 0; hostile
    kDnsType,   // number of a type of resource record
    kDnsRcode,  // number of a response code
};

/// One member of a record. Everything about it that anything outside the signal needs to know.
struct Field {
    const char* name;
    Type type;
    std::uint16_t offset;
    std::uint16_t size;
    const char* help;
    std::span<const char* const> names = {};
};

/// Some bytes of a record.
struct Part {
    std::uint16_t offset;
    std::uint16_t size;
};

/// One kind of record. Records whose `key` bytes agree fold into one row of a Window: `sums` (u64)
/// are added up, of `maxima` (u64) the largest stays, everything else is kept from the first
/// record.
struct Kind {
    std::uint32_t id; // enum abi_kind
    const char* name;
    const char* summary;
    std::uint16_t size;
    bool event; // streamed by `watch`; false: a total taken at each tick, without sums a row that
                // is written when asked for
    std::span<const Field> fields;
    std::span<const Part> key;
    std::span<const Part> sums;
    std::span<const Part> maxima = {};
    bool on_request = false; // too costly for who did not ask for it by name
};

/// More arguments than the oldest kernels have, and what they bring.
struct Argument {
    std::uint32_t count; // the hook has at least this many
    const char* brings;
    const char* without;
};

struct Hook {
    const char* tracepoint; // "iter/NAME" for an iterator
    const char* program;
    bool required;
    const char* without; // what is lost when an optional hook is absent
    std::span<const Argument> arguments = {};
    bool probes = false; // lives by probe reads, which lockdown=confidentiality refuses
    bool alone = false;  // only where nothing is attached, which would know better; such hooks are
                         // the last ones of their signal
    const char* instead_of = nullptr; // a hook of this signal that stands before it: only where
                                      // that one is absent, and then what is worse (`without`);
                                      // likewise the last ones
};

/// Iterators are run, not attached: they cost nothing while nobody asks.
inline bool is_iterator(std::string_view hook) {
    return hook.starts_with("iter/");
}

/// Where bytes of a signal go: a record, which is copied, or what an iterator wrote.
using RecordSink = std::function<void(std::span<const std::byte>)>;

/// Reads one map's entries: called with key and value; a per-CPU value comes summed up by
/// `sum_percpu`.
class MapReader {
public:
    virtual ~MapReader() = default;
    using Each = std::function<void(const void* key, const std::byte* values, std::size_t cpus,
                                    std::size_t stride)>;
    /// `cpus` is 1 for a map that is not per CPU. False when the map cannot be read.
    virtual bool each(const char* map, const Each& each) const = 0;
    /// Stores a value under an existing key of a map that is not per CPU.
    virtual bool put(const char* map, const void* key, const void* value) const = 0;
    virtual bool erase(const char* map, const void* key) const = 0;
    /// Runs an iterator program once over the map's elements and hands over all it wrote. False
    /// when it cannot run.
    virtual bool run(const char* program, const char* map, const RecordSink& written) const = 0;
};

/// The part of a signal with state: turns map contents into what came since the last tick.
class Totals {
public:
    virtual ~Totals() = default;
    /// Several times between two ticks: for what has to be sampled over time.
    virtual void look(const MapReader&) {}
    virtual void take(const MapReader& maps, std::uint64_t now_ns, const RecordSink& sink) = 0;
};

/// The part of a signal that asks the kernel instead of hooking it: netlink, /proc, /sys. Reads at
/// the beginning and at each tick as time allows, and hands over what came since the last time.
class Reader {
public:
    virtual ~Reader() = default;
    /// What the totals brought, before the reader's turn: for what is asked only where there is
    /// reason.
    virtual void see(std::span<const std::byte> /*record*/, const Names&) {}
    /// What is the whole host's.
    virtual Result<void> read_host(std::uint64_t /*now_ns*/, const RecordSink&) { return {}; }
    /// What is a network namespace's; runs on a thread that is inside it.
    virtual Result<void> read_netns(std::uint32_t /*netns*/, std::uint64_t /*now_ns*/,
                                    const RecordSink&) {
        return {};
    }
};

struct Signal {
    const char* name;
    const char* question;
    std::span<const std::byte> (*elf)(); // none: the signal has no hooks
    std::span<const Hook> hooks;
    std::span<const Kind* const> kinds;
    std::unique_ptr<Totals> (*totals)() = nullptr;
    std::unique_ptr<Reader> (*reader)() = nullptr;
};

/// All signals, in the order in which they are attached.
std::span<const Signal* const> all_signals();

/// All kinds of record; nullptr when there is none of that id or name.
const Kind* find_kind(std::uint32_t id);
const Kind* find_kind(std::string_view name);
const Signal* signal_of(const Kind& kind);

/// A record is accepted only when its kind is known and its size is that kind's.
const Kind* check_record(std::span<const std::byte> record);

/// The head of an accepted record.
inline const abi_head& head_of(std::span<const std::byte> record) {
    return *reinterpret_cast<const abi_head*>(record.data());
}

/// A copy of a member, whatever its alignment.
template <typename T>
T value_at(std::span<const std::byte> record, std::size_t offset) {
    T value;
    std::memcpy(&value, record.data() + offset, sizeof(value));
    return value;
}

template <typename Record>
std::span<const std::byte> bytes_of(const Record& record) {
    return std::as_bytes(std::span(&record, 1));
}

/// Adds up the u64 words of a per-CPU value.
template <typename Value>
Value sum_percpu(const std::byte* values, std::size_t cpus, std::size_t stride) {
    static_assert(sizeof(Value) % 8 == 0);
    Value sum{};
    auto* words = reinterpret_cast<std::uint64_t*>(&sum);
    for (std::size_t cpu = 0; cpu < cpus; cpu++) {
        const auto* from = reinterpret_cast<const std::uint64_t*>(values + cpu * stride);
        for (std::size_t i = 0; i < sizeof(Value) / 8; i++)
            words[i] += from[i];
    }
    return sum;
}

// For the tables in signals/*.cpp.
#define CULPRIT_FIELD(record, member, type, help)                                                  \
    { #member, type, offsetof(record, member), sizeof(record::member), help }
#define CULPRIT_NAMED(record, member, help, names)                                                 \
    { #member, Type::kNamed, offsetof(record, member), sizeof(record::member), help, names }
#define CULPRIT_OWNER_PART(record, member)                                                         \
    { offsetof(record, member), ABI_OWNER_IDENTITY }
#define CULPRIT_PART(record, member)                                                               \
    { offsetof(record, member), sizeof(record::member) }

} // namespace culprit
