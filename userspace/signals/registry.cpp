// SPDX-License-Identifier: MIT
// Finds signals and kinds, and decides which bytes are a record.
#include <array>
#include <cstring>

#include "signals/all.h"

namespace culprit {

namespace {

template <typename Match>
const Kind* find_if(const Match& match) {
    for (const Signal* signal : kAllSignals)
        for (const Kind* kind : signal->kinds)
            if (match(*kind))
                return kind;
    return nullptr;
}

/// Asked for each record.
std::array<const Kind*, ABI_KIND_LIMIT> kinds_by_id() {
    std::array<const Kind*, ABI_KIND_LIMIT> kinds{};
    for (const Signal* signal : kAllSignals)
        for (const Kind* kind : signal->kinds)
            kinds.at(kind->id) = kind;
    return kinds;
}

} // namespace

std::span<const Signal* const> all_signals() {
    return kAllSignals;
}

const Kind* find_kind(std::uint32_t id) {
    static const std::array<const Kind*, ABI_KIND_LIMIT> kinds = kinds_by_id();
    return id < kinds.size() ? kinds[id] : nullptr;
}

const Kind* find_kind(std::string_view name) {
    return find_if([&](const Kind& kind) { return kind.name == name; });
}

const Signal* signal_of(const Kind& kind) {
    for (const Signal* signal : kAllSignals)
        for (const Kind* own : signal->kinds)
            if (own->id == kind.id)
                return signal;
    return nullptr;
}

const Kind* check_record(std::span<const std::byte> record) {
    abi_head head{};
    if (record.size() < sizeof(head))
        return nullptr;
    std::memcpy(&head, record.data(), sizeof(head));
    const Kind* kind = find_kind(head.kind);
    return kind && kind->size == record.size() && head.size_bytes == record.size() ? kind : nullptr;
}

} // namespace culprit
