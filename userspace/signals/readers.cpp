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

} // namespace

void Readers::add(std::unique_ptr<Reader> reader, std::size_t status) {
    x_all.push_back({std::move(reader), status});
}

void Readers::see(std::span<const std::byte> record, const Names& names) {
    for (const One& one : x_all)
        one.reader->see(record, names);
}

void Readers::read_host(std::uint64_t now_ns, const RecordSink& sink,
                        std::vector<SignalStatus>& status) {
    for (const One& one : x_all)
        note(one.reader->read_host(now_ns, sink), status[one.status]);
}

void Readers::read_netns(std::uint32_t netns, std::uint64_t now_ns, const RecordSink& sink,
                         std::vector<SignalStatus>& status) {
    if (!look_into(netns))
        return;
    for (const One& one : x_all)
        note(one.reader->read_netns(netns, now_ns, sink), status[one.status]);
}

} // namespace culprit
