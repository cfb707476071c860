// SPDX-License-Identifier: MIT
// What goes wrong once may go wrong at each tick: it is said once.
#include "signals/readers.h"

#include <algorithm>
#include <string>

namespace culprit {

namespace {

void note(const Result<void>& done, SignalStatus& status) {
    constexpr std::size_t kWhyMax = 16; // of all there is to say
    if (done || (status.state != State::kOn && status.state != State::kDegraded))
        return;
    status.state = State::kDegraded;
    const std::string& what = done.error().what;
    if (status.why.size() >= kWhyMax || std::ranges::find(status.why, what) != status.why.end())
        return;
    status.why.push_back(what);
    status.unread.push_back(what);
}

/// A row without a device is nobody's else.
bool is_of_other_device(std::span<const std::byte> record, std::uint32_t ifindex) {
    for (const Field& field : find_kind(head_of(record).kind)->fields)
        if (field.type == Type::kDevice) {
            const auto device = value_at<std::uint32_t>(record, field.offset);
            return device && device != ifindex;
        }
    return false;
}

} // namespace

RecordSink Readers::filtered(const RecordSink& sink) const {
    if (!x_device)
        return sink;
    return [&sink, device = x_device](std::span<const std::byte> record) {
        if (!is_of_other_device(record, device))
            sink(record);
    };
}

void Readers::add(std::unique_ptr<Reader> reader, std::size_t status) {
    x_all.push_back({std::move(reader), status});
}

void Readers::see(std::span<const std::byte> record, const Names& names) {
    for (const One& one : x_all)
        one.reader->see(record, names);
}

void Readers::read_host(std::uint64_t now_ns, const RecordSink& sink,
                        std::vector<SignalStatus>& status) {
    const RecordSink wanted = filtered(sink);
    for (const One& one : x_all)
        note(one.reader->read_host(now_ns, wanted), status[one.status]);
}

void Readers::read_netns(std::uint32_t netns, std::uint64_t now_ns, const RecordSink& sink,
                         std::vector<SignalStatus>& status) {
    if (!look_into(netns))
        return;
    const RecordSink wanted = filtered(sink);
    for (const One& one : x_all)
        note(one.reader->read_netns(netns, now_ns, wanted), status[one.status]);
}

} // namespace culprit
