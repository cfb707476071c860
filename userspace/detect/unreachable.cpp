// SPDX-License-Identifier: MIT
// The errno does not tell which ICMP message it was made of: what else happened to the same
// destination does, and the counters of its namespace.
#include "detect/unreachable.h"

#include <algorithm>
#include <cerrno>
#include <set>
#include <tuple>

#include <fmt/format.h>

#include "abi/icmp.h"
#include "detect/thresholds.h"
#include "model/format.h"

namespace culprit {

namespace {

/// A router's word, not the destination's own (a closed port is another finding).
bool says_unreachable(std::uint32_t error) {
    return error == EHOSTUNREACH || error == ENETUNREACH || error == EHOSTDOWN || error == ENONET ||
           error == EACCES || error == EPROTO;
}

using Key = std::tuple<std::uint32_t, std::uint32_t, std::uint64_t, std::string>;

Unreachable& entry(std::map<Key, Unreachable>& found, const abi_flow& flow,
                   const abi_owner& owner) {
    Unreachable& u = found[{flow.netns, owner.tgid, owner.start_ns, destination(flow)}];
    u.party = {owner, flow.netns};
    u.flow = flow;
    u.to = destination(flow);
    return u;
}

void hit(Unreachable& u, std::uint32_t error, const RowInfo& info) {
    u.errors[error] += info.count;
    u.first_ns = u.first_ns ? std::min(u.first_ns, info.first_ns) : info.first_ns;
}

void add_connects(const Window& total, std::map<Key, Unreachable>& found) {
    for (const auto& [attempt, info] : total.rows<connect_event>(ABI_CONNECT)) {
        Unreachable& u = entry(found, attempt.flow, attempt.owner);
        u.all += info.count;
        u.ok += attempt.result == ABI_RESULT_OK ? info.count : 0;
        if (attempt.error == ETIMEDOUT || attempt.result == ABI_RESULT_ABANDONED)
            u.silent += info.count;
        if (attempt.result != ABI_RESULT_ERROR || !says_unreachable(attempt.error))
            continue;
        u.failed += info.count;
        hit(u, attempt.error, info);
    }
}

/// A socket keeps the same error when its own namespace has lost the route, as one that is being
/// taken down has: only where such messages came in, it is one.
bool was_told(const retransmit_event& again, const Window& total) {
    const auto counters = total.counters.find(again.flow.netns);
    if (!says_unreachable(again.soft_error) || counters == total.counters.end())
        return false;
    const Counters& grew = counters->second.growth;
    return grew[counter("IcmpMsg.InType3")] || grew[counter("Icmp6.InDestUnreachs")];
}

void add_repeats(const Window& total, std::map<Key, Unreachable>& found) {
    for (const auto& [again, info] : total.rows<retransmit_event>(ABI_RETRANSMIT)) {
        const bool told = was_told(again, total);
        if (!told && again.type != ABI_RETRANSMIT_SYN)
            continue;
        Unreachable& u = entry(found, again.flow, again.owner);
        u.waiting += again.type == ABI_RETRANSMIT_SYN;
        u.still += told; // the flow is in the key: one row per connection
        if (told)
            hit(u, again.soft_error, info);
    }
}

void add_messages(const Window& total, std::map<Key, Unreachable>& found) {
    constexpr std::uint8_t kUnreachable = 3, kPort = 3, kTooBig = 4;
    std::map<std::string, std::uint64_t> forwarded; // conversation -> errors
    for (const auto& [icmp, info] : total.rows<icmp_event>(ABI_ICMP)) {
        if (icmp.direction == ABI_SENT && icmp.path == ABI_PATH_FORWARD &&
            icmp.type == kUnreachable && icmp.code != kPort && icmp.code != kTooBig)
            forwarded[destination(icmp.flow)] += info.count;
        // not connected: only who asks for errors gets them, as traceroute does
        if (icmp.direction != ABI_RECEIVED || icmp.flow.protocol != IPPROTO_UDP ||
            !icmp.flow.remote_port || !says_unreachable(icmp.error))
            continue;
        Unreachable& u = entry(found, icmp.flow, icmp.owner);
        u.failed += info.count;
        hit(u, icmp.error, info);
    }
    for (auto& [key, u] : found)
        if (const auto told = forwarded.find(u.to); told != forwarded.end())
            u.told = told->second;
}

std::map<Key, Unreachable> collect(const Window& total) {
    std::map<Key, Unreachable> found;
    add_connects(total, found);
    add_repeats(total, found);
    add_messages(total, found);
    std::erase_if(found,
                  [](const auto& one) { return one.second.errors.empty() && !one.second.told; });
    return found;
}

/// Destinations that this host tells itself about: its neighbour does not answer.
std::set<std::pair<std::uint32_t, std::string>> told_by_itself(const Window& total) {
    constexpr std::uint8_t kUnreachable = 3, kHost = 1;
    std::set<std::pair<std::uint32_t, std::string>> told;
    for (const auto& [icmp, info] : total.rows<icmp_event>(ABI_ICMP))
        if (icmp.direction == ABI_SENT && icmp.path == ABI_PATH_OUTPUT &&
            icmp.type == kUnreachable && icmp.code == kHost)
            told.emplace(icmp.flow.netns, address(icmp.flow, false));
    return told;
}

bool out_of_hops(const Window& total, std::uint32_t netns) {
    const auto it = total.counters.find(netns);
    if (it == total.counters.end())
        return false;
    const Counters& grew = it->second.growth;
    const std::uint64_t hops =
        grew[counter("IcmpMsg.InType11")] + grew[counter("Icmp6.InTimeExcds")];
    const std::uint64_t others =
        grew[counter("IcmpMsg.InType3")] + grew[counter("Icmp6.InDestUnreachs")];
    return hops >= threshold::kTimeExceededMin && others < threshold::kUnreachableMin;
}

} // namespace

std::uint64_t Unreachable::unanswered() const {
    // given up at once, no SYN repeated: the process changed its mind
    return std::max(std::min(silent, waiting + told), waiting);
}

bool Unreachable::is_fault() const {
    using namespace threshold;
    if (only_datagrams()) // with few hops they are how traceroute works
        return by != UnreachableBy::kLoop && failed >= kRefusedMin &&
               failed_per_second >= kRefusedPerSecond;
    const std::uint64_t hurt = failed + still;
    if (hurt >= kUnreachableMin &&
        double(hurt) >= kUnreachableShare * double(std::max(all, failed)))
        return true;
    return !ok && failed + unanswered() >= kUnreachableMin;
}

std::string Unreachable::errors_text() const {
    std::string text;
    for (const auto& [error, times] : errors)
        text += fmt::format("{}{} {}", text.empty() ? "" : ", ", times, errno_name(error));
    return text;
}

Unreachables::Unreachables(const Window& total) {
    const LocalDrops drops = find_local_drops(total);
    const auto itself = told_by_itself(total);
    for (auto& [key, u] : collect(total)) {
        const DropPlace* place = drops.of_destination(u.flow);
        if (!place)
            place = drops.of(u.flow);
        const std::string reason = place ? drop_reason(place->reason, total.names) : "";
        if (reason == "NEIGH_FAILED" || itself.contains({u.flow.netns, address(u.flow, false)}))
            u.by = UnreachableBy::kNeighbour;
        else if (reason == "NETFILTER_DROP")
            u.by = UnreachableBy::kFilter;
        else if (reason == "IP_INHDR" || (!place && out_of_hops(total, u.flow.netns)))
            u.by = UnreachableBy::kLoop;
        u.failed_per_second = per_second(total, double(u.failed));
        if (u.is_fault())
            x_faults.emplace(u.flow.netns, u.to);
        x_all.push_back(std::move(u));
    }
}

bool Unreachables::explains(const abi_flow& flow) const {
    return x_faults.contains({flow.netns, destination(flow)});
}

Finding unreachable_finding(const char* id, const Unreachable& one, const Window& total) {
    Finding finding{.id = id, .layer = Layer::kNetwork};
    finding.severity = one.ok || one.only_datagrams() ? Severity::kWarning : Severity::kCritical;
    finding.where = {.remote = one.to, .netns = one.party.netns};
    add_party(finding.affected, one.party);
    finding.first_ns = one.first_ns;
    finding.count = one.failed + std::max(one.unanswered(), one.still);
    finding.rate_per_s = per_second(total, double(finding.count));
    if (one.failed)
        finding.evidence.push_back(
            {one.all
                 ? fmt::format("{} of {} attempts to connect were ended by an ICMP error ({})",
                               one.failed, one.all, one.errors_text())
                 : fmt::format("ICMP errors came for what it sent there ({})", one.errors_text()),
             double(one.failed), "attempts", "inet_sock_set_state, inet_sk_error_report"});
    if (one.unanswered())
        finding.evidence.push_back(
            {fmt::format("{} attempts got no answer: a router says it once a second, and not all "
                         "are heard",
                         one.unanswered()),
             double(one.unanswered()), "attempts", "inet_sock_set_state, tcp_retransmit_skb"});
    if (one.still)
        finding.evidence.push_back(
            {fmt::format("{} connections repeat what they sent and were told ({})", one.still,
                         one.errors_text()),
             double(one.still), "connections", "tcp_retransmit_skb"});
    finding.verify = verify_in_netns(finding);
    return finding;
}

} // namespace culprit
