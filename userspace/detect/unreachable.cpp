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

std::map<Key, Unreachable> collect(const Window& total) {
    std::map<Key, Unreachable> found;
    for (const auto& [attempt, info] : total.rows<connect_event>(ABI_CONNECT)) {
        Unreachable& u = entry(found, attempt.flow, attempt.owner);
        u.all += info.count;
        if (attempt.result != ABI_RESULT_ERROR || !says_unreachable(attempt.error))
            continue;
        u.failed += info.count;
        hit(u, attempt.error, info);
    }
    for (const auto& [icmp, info] : total.rows<icmp_event>(ABI_ICMP))
        if (icmp.direction == ABI_RECEIVED && icmp.flow.protocol == IPPROTO_UDP &&
            says_unreachable(icmp.error)) {
            Unreachable& u = entry(found, icmp.flow, icmp.owner);
            u.failed += info.count;
            hit(u, icmp.error, info);
        }
    for (const auto& [again, info] : total.rows<retransmit_event>(ABI_RETRANSMIT))
        if (says_unreachable(again.soft_error)) {
            Unreachable& u = entry(found, again.flow, again.owner);
            u.still++; // the flow is in the key: one row per connection
            hit(u, again.soft_error, info);
        }
    std::erase_if(found, [](const auto& one) { return one.second.errors.empty(); });
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
    return hops >= threshold::kTimeExceededMin && hops > others;
}

} // namespace

bool Unreachable::is_fault() const {
    using namespace threshold;
    const std::uint64_t hurt = failed + still;
    return hurt >= kUnreachableMin &&
           double(hurt) >= kUnreachableShare * double(std::max(all, failed));
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
        if (u.is_fault())
            x_index.emplace(std::pair(u.flow.netns, u.to), x_all.size());
        x_all.push_back(std::move(u));
    }
}

bool Unreachables::explains(const abi_flow& flow) const {
    return x_index.contains({flow.netns, destination(flow)});
}

Finding unreachable_finding(const char* id, const Unreachable& one, const Window& total) {
    Finding finding{.id = id, .layer = Layer::kNetwork};
    finding.severity = one.failed >= one.all ? Severity::kCritical : Severity::kWarning;
    finding.where = {.remote = one.to, .netns = one.party.netns};
    add_party(finding.affected, one.party);
    finding.first_ns = one.first_ns;
    finding.count = one.failed + one.still;
    finding.rate_per_s = per_second(total, double(finding.count));
    finding.evidence.push_back(
        {one.all ? fmt::format("{} of {} attempts to connect were ended by an ICMP error ({})",
                               std::min(one.failed, one.all), one.all, one.errors_text())
                 : fmt::format("ICMP errors came for what it sent there ({})", one.errors_text()),
         double(one.failed), "attempts", "inet_sock_set_state, inet_sk_error_report"});
    if (one.still)
        finding.evidence.push_back(
            {fmt::format("{} connections repeat what they sent and were told the same", one.still),
             double(one.still), "connections", "tcp_retransmit_skb"});
    finding.verify = verify_in_netns(finding);
    return finding;
}

} // namespace culprit
