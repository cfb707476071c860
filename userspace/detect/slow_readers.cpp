// SPDX-License-Identifier: MIT
// A window is seen from both ends: the reader's tells who it is, the sender's who waits. Where the
// reader is of this host his own row is believed.
#include "detect/slow_readers.h"

#include <algorithm>
#include <map>
#include <optional>

#include <fmt/format.h>

#include "abi/socket.h"
#include "detect/thresholds.h"
#include "model/format.h"

namespace culprit {

namespace {

using Key = std::tuple<PartyKey, bool, std::string>; // reader, serves, the server's end

bool waits_for_window(const FlowFacts& flow) {
    return flow.sum.zero_window || flow.rwnd_share() >= threshold::kLimitedShare;
}

void earlier(std::uint64_t& first, std::uint64_t candidate) {
    first = first ? std::min(first, candidate) : candidate;
}

/// What the sender's end says, which ever end the reader is.
void add_sender(SlowReader& reader, const FlowFacts& sender) {
    add_party(reader.senders, sender.party());
    reader.waiting.insert({sender.sum.owner.tgid, sender.sum.owner.start_ns});
    reader.closed_ns = std::max<std::uint64_t>(reader.closed_ns, sender.sum.zero_window_ns);
    reader.active_ns += sender.active_ns();
    reader.limited_ns += double(sender.sum.rwnd_limited_ns);
    reader.waiting_bytes =
        std::max(reader.waiting_bytes, sender.while_sending(sender.sum.in_flight) +
                                           sender.while_sending(sender.sum.not_sent));
    earlier(reader.first_ns, sender.first_ns);
}

/// What its own end says. Of several rows the fullest one is shown.
void add_own(SlowReader& reader, const FlowFacts& own) {
    reader.party = own.party();
    reader.here = true;
    reader.serves = own.serves();
    reader.asked |= own.sum.answers || own.sum.waiting;
    reader.closed_looks += own.sum.closed_window;
    reader.looks += own.sum.looks;
    reader.closed_ns = std::max<std::uint64_t>(reader.closed_ns, own.sum.closed_window_ns);
    reader.senders_here |= !own.others.empty();
    earlier(reader.first_ns, own.first_ns);
    if (const double unread = own.at_looks(own.sum.unread); unread >= reader.unread_bytes) {
        reader.unread_bytes = unread;
        reader.window_bytes = own.at_looks(own.sum.rcv_wnd);
        reader.buffer_bytes = own.at_looks(own.sum.rcvbuf);
        const double watched_s = double(own.sum.watched_ns) / 1e9;
        reader.read_per_s = watched_s > 0 ? double(own.sum.bytes_received) / watched_s : 0;
        reader.netns = own.sum.flow.netns;
        reader.local = own.serves() ? own.service() : "";
        reader.remote = own.serves() ? own.peer() : own.service();
    }
}

/// The reader is not of this host, or nobody knows whose his socket is.
void add_remote(SlowReader& reader, const FlowFacts& sender) {
    reader.serves = !sender.serves();
    reader.asked |= sender.sum.answers || sender.sum.waiting;
    reader.closed_looks += sender.sum.zero_window;
    reader.looks += sender.sum.sending;
    reader.netns = sender.sum.flow.netns;
    reader.local = sender.serves() ? sender.service() : "";
    reader.remote = sender.serves() ? sender.peer() : sender.service();
    reader.window_bytes = sender.while_sending(sender.sum.snd_wnd);
    const double watched_s = double(sender.sum.watched_ns) / 1e9;
    reader.read_per_s = watched_s > 0 ? double(sender.sum.bytes_sent) / watched_s : 0;
}

bool reads_slowly(const FlowFacts& own, const TcpFlows& flows) {
    return own.sum.closed_window || std::ranges::any_of(flows.others(own), [](const auto* other) {
               return waits_for_window(*other);
           });
}

bool is_stopped(const SlowReader& reader, const Window& total) {
    for (const auto& [row, info] : total.rows<receiver_total>(ABI_RECEIVER_TOTAL))
        if (row.stopped && row.flow.netns == reader.netns &&
            same_process(row.owner, reader.party.owner))
            return true;
    return false;
}

/// The longest time that a window of the process's client connections was closed; nothing when none
/// was looked at.
std::optional<std::uint64_t> closed_in(const Window& window, const Party& client) {
    std::optional<std::uint64_t> longest;
    for (const auto& [row, info] : window.rows<flow_total>(ABI_FLOW_TOTAL))
        if (row.role != ABI_ROLE_SERVER && row.flow.netns == client.netns &&
            same_process(row.owner, client.owner))
            longest = std::max<std::uint64_t>(longest.value_or(0), row.closed_window_ns);
    return longest;
}

/// That time at the end of the run; 0 when it read before, since then it may read again.
std::uint64_t closed_at_end(const SlowReader& reader, std::span<const Window> windows) {
    constexpr std::size_t kLast = 2; // a look may be missing
    std::uint64_t now = 0;
    std::size_t seen = 0;
    for (std::size_t i = 0; i < windows.size(); i++) {
        const auto closed = closed_in(windows[i], reader.party);
        if (!closed)
            continue;
        if (now >= threshold::kClosedNs && *closed < now)
            return 0;
        now = *closed;
        seen = i;
    }
    return seen + kLast >= windows.size() ? now : 0;
}

/// It does not read because what it sends on is not taken itself.
bool is_held_up(const SlowReader& reader, const std::vector<SlowReader>& readers) {
    const ProcessKey own{reader.party.owner.tgid, reader.party.owner.start_ns};
    return own.first && std::ranges::any_of(readers, [&](const SlowReader& next) {
               const ProcessKey other{next.party.owner.tgid, next.party.owner.start_ns};
               return other != own && next.waiting.contains(own) &&
                      (next.is_closed() || next.is_slow()) && !reader.waiting.contains(other);
           });
}

} // namespace

double SlowReader::lag_s() const {
    return read_per_s > 0 ? (unread_bytes + waiting_bytes) / read_per_s : 0;
}

double SlowReader::full_share() const {
    const double all = unread_bytes + window_bytes;
    return all > 0 ? unread_bytes / all : 0;
}

bool SlowReader::is_closed() const {
    // a sender of this host that has nothing left to send does not care
    return closed_ns >= threshold::kClosedNs && (!senders.empty() || !senders_here);
}

bool SlowReader::is_slow() const {
    const bool takes_part = closed_looks || full_share() >= threshold::kReaderFull;
    return !is_closed() && takes_part && lag_s() >= threshold::kReaderLagShortSeconds &&
           limited_share() >= threshold::kLimitedShare &&
           active_ns >= threshold::kSendingSeconds * 1e9;
}

std::vector<SlowReader> slow_readers(const TcpFlows& flows, const Facts& facts) {
    std::map<Key, SlowReader> found;
    for (const FlowFacts& own : flows.all()) {
        if (!reads_slowly(own, flows))
            continue;
        SlowReader& reader = found[{party_key(own.party()), own.serves(), own.service()}];
        add_own(reader, own);
        for (const FlowFacts* other : flows.others(own))
            if (waits_for_window(*other))
                add_sender(reader, *other);
    }
    for (const FlowFacts& sender : flows.all())
        if (waits_for_window(sender) && sender.others.empty()) {
            const std::string peer = sender.serves() ? sender.peer() : sender.service();
            SlowReader& reader = found[{{sender.sum.flow.netns, 0, 0}, !sender.serves(), peer}];
            add_remote(reader, sender);
            add_sender(reader, sender);
        }
    std::vector<SlowReader> readers;
    for (auto& [key, reader] : found) {
        reader.stopped = reader.here && is_stopped(reader, facts.total);
        readers.push_back(std::move(reader));
    }
    const std::vector<SlowReader> all = readers;
    std::erase_if(readers, [&](const SlowReader& reader) { return is_held_up(reader, all); });
    for (SlowReader& reader : readers)
        if (reader.here && !reader.serves && reader.is_closed())
            reader.closed_at_end_ns = closed_at_end(reader, facts.windows);
    return readers;
}

std::string reader_name(const SlowReader& reader, const Names& names) {
    return reader.party.owner.tgid ? owner_name(reader.party.owner, names)
           : reader.here           ? "unknown process"
                                   : reader.remote;
}

Finding reader_finding(const char* id, const SlowReader& reader, const Window& total) {
    Finding finding{.id = id};
    if (reader.here)
        finding.culprit = reader.party;
    finding.affected = reader.senders;
    finding.where = {.local = reader.local, .remote = reader.remote, .netns = reader.netns};
    finding.first_ns = reader.first_ns;
    finding.count = reader.closed_looks;
    finding.rate_per_s = per_second(total, double(finding.count));
    finding.evidence.push_back(
        {fmt::format("window closed at {} of {} looks, for {} without a break", reader.closed_looks,
                     reader.looks, duration(reader.closed_ns)),
         double(reader.closed_ns) / 1e9, "seconds",
         reader.here ? "tcp_sock.rcv_wnd" : "tcp_sock.snd_wnd"});
    if (reader.here)
        finding.evidence.push_back(
            {fmt::format("{} received and not read on average, {} of buffer; it reads {}",
                         size_text(reader.unread_bytes), size_text(reader.buffer_bytes),
                         rate_text(reader.read_per_s)),
             reader.unread_bytes, "bytes", "tcp_sock.copied_seq"});
    if (reader.active_ns > 0)
        finding.evidence.push_back(
            {fmt::format("who sends to it waited for its window {} of the time with data to send, "
                         "{} in the queue",
                         percent(reader.limited_share()), size_text(reader.waiting_bytes)),
             reader.limited_share(), "ratio", "tcp_sock.chrono_stat"});
    finding.verify = verify_in_netns(finding);
    return finding;
}

ClosedWindows::ClosedWindows(const Facts& facts) {
    for (const FlowFacts& sender : facts.flows().all())
        if (sender.sum.zero_window &&
            double(sender.sum.zero_window) >= threshold::kLimitedShare * double(sender.sum.sending))
            x_closed.insert({party_key(sender.party()), sender.peer()});
}

bool ClosedWindows::explains(const retransmit_event& again) const {
    return x_closed.contains(
        {party_key({again.owner, again.flow.netns}), address(again.flow, false)});
}

} // namespace culprit
