// SPDX-License-Identifier: MIT
// neigh-failure. Claim: an address on a link does not answer ARP or neighbour discovery, and these
// processes wait for it. Evidence: probes used up without an answer; packets that waited and were
// dropped, with their owners; connects that end in EHOSTUNREACH. An address that answered before is
// a host that went away; one that packets only pass through is a gateway, and all traffic by way of
// it suffers. Looks alike: one probe of an unused address, or a scan of many (info); a link without
// carrier, which fails all its neighbours (the findings about links explain it); segments "sent
// again" that the waiting packet keeps in the queue (EBUSY: nothing was sent, no loss).
#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include <fmt/format.h>

#include "detect/drops.h"
#include "detect/neighbours.h"
#include "detect/thresholds.h"

namespace culprit {

namespace {

/// A neighbour that failed, with all that is known of its victims.
struct Failure {
    NeighbourFacts neighbour;
    Dealings dealings;
    std::uint64_t samples = 0; // of packets dropped while they waited for it
    std::string example;
    double per_second = 0; // failures

    bool is_gateway() const { return neighbour.routed; }
    bool went_away() const { return !neighbour.mac.empty(); }
};

/// Dropped packets tell their destination, not their next hop: it is the neighbour itself, or lies
/// beyond the gateway that failed on that device most often.
class Failures {
public:
    explicit Failures(const Facts& facts) {
        for (NeighbourFacts& neighbour : neighbours_of(facts.total))
            if (neighbour.failed)
                x_all.push_back({.neighbour = std::move(neighbour)});
        std::ranges::stable_sort(x_all, std::greater{},
                                 [](const Failure& f) { return f.neighbour.failed; });
        for (Failure& failure : x_all) {
            const NeighbourFacts& n = failure.neighbour;
            x_known.emplace(Key{n.netns, n.ifindex, n.family, n.address}, &failure);
            if (failure.is_gateway())
                x_gateways.emplace(Key{n.netns, n.ifindex, n.family, ""}, &failure);
            x_beyond[{n.netns, n.address}].insert(&failure);
        }
        for (const DropFacts& drops : facts.drops().of("neigh-failure"))
            for (const auto& row : drops.samples)
                add(row);
        add_dealings(facts.total);
        for (Failure& failure : x_all)
            failure.per_second = per_second(facts.total, double(failure.neighbour.failed));
    }
    const std::vector<Failure>& all() const& { return x_all; }
    void all() const&& = delete; // it would not outlive the loop over it

private:
    using Key = std::tuple<std::uint32_t, std::uint32_t, std::uint32_t, std::string>;

    Failure* of(const abi_flow& flow) {
        const Key to{flow.netns, flow.ifindex, flow.family, address(flow, false)};
        if (const auto known = x_known.find(to); known != x_known.end())
            return known->second;
        const auto gateway = x_gateways.find({flow.netns, flow.ifindex, flow.family, ""});
        return gateway == x_gateways.end() ? nullptr : gateway->second;
    }

    void add(const Row<drop_event>& row) {
        Failure* failure = of(row.record.flow);
        if (!failure)
            return;
        failure->samples += row.info.count;
        add_party(failure->neighbour.waiting, {row.record.owner, row.record.flow.netns});
        x_beyond[{0, address(row.record.flow, false)}].insert(failure);
        if (failure->example.empty())
            failure->example = fmt::format("{} -> {} {}", endpoint(row.record.flow, true),
                                           endpoint(row.record.flow, false),
                                           ip_protocol(row.record.flow.protocol));
    }

    /// Clients of what lies beyond may be in other namespaces of this host, behind the one that
    /// forwards for them.
    void add_dealings(const Window& total) {
        each_trouble(total, [&](const abi_flow& flow, const abi_owner& owner, auto counter,
                                std::uint64_t count) {
            const std::string to = address(flow, false);
            std::set<Failure*> met;
            for (const std::uint32_t netns : {flow.netns, 0U})
                if (const auto it = x_beyond.find({netns, to}); it != x_beyond.end())
                    met.insert(it->second.begin(), it->second.end());
            for (Failure* failure : met) {
                failure->dealings.*counter += count;
                add_party(failure->dealings.parties, {owner, flow.netns});
            }
        });
        for (Failure& failure : x_all)
            for (const Party& party : failure.dealings.parties)
                add_party(failure.neighbour.waiting, party);
    }

    std::vector<Failure> x_all;
    std::map<Key, Failure*> x_known, x_gateways; // the first one is the worst
    // destinations that fail with it: itself in its namespace, in any (0) what lies beyond
    std::map<std::pair<std::uint32_t, std::string>, std::set<Failure*>> x_beyond;
};

/// Once is a probe; what is tried again, somebody needs.
bool is_repeated(const Failure& failure) {
    const bool known = !failure.neighbour.waiting.empty();
    const std::uint64_t enough =
        known ? threshold::kNeighFailedMin : threshold::kNeighFailedUnknown;
    return failure.neighbour.failed >= enough &&
           failure.per_second >= threshold::kNeighFailedPerSecond;
}

bool is_needed(const Failure& failure) {
    return is_repeated(failure) || failure.dealings.unanswered >= threshold::kUnansweredMin ||
           (failure.is_gateway() && !failure.neighbour.waiting.empty());
}

Severity severity_of(const Failure& failure) {
    const bool all_suffer = !failure.neighbour.waiting.empty() && is_repeated(failure) &&
                            (failure.is_gateway() || failure.went_away());
    return all_suffer || failure.dealings.unanswered >= threshold::kUnansweredMin
               ? Severity::kCritical
               : Severity::kWarning;
}

std::string title_of(const Failure& failure, const Names& names) {
    const NeighbourFacts& n = failure.neighbour;
    std::string who = "somebody waits for it";
    if (!n.waiting.empty())
        who = fmt::format("{}{} for it", owner_name(n.waiting.front().owner, names),
                          n.waiting.size() > 1 ? " and others wait" : " waits");
    return fmt::format("{}{} does not answer on {}{}: {}",
                       failure.is_gateway() ? "the gateway " : "", n.address,
                       device(n.netns, n.ifindex, names),
                       failure.is_gateway() ? ", all traffic by way of it fails" : "", who);
}

void add_evidence(Finding& finding, const Failure& failure) {
    const NeighbourFacts& n = failure.neighbour;
    const char* protocol = n.family == AF_INET6 ? "neighbour discovery" : "ARP";
    finding.evidence.push_back(
        {fmt::format(
             "it left all probes ({}) without an answer {} times; {} packets waited in vain",
             protocol, n.failed, n.packets),
         double(n.failed), "failures", "neigh_timer_handler"});
    finding.evidence.push_back(
        {failure.went_away() ? fmt::format("it answered before, as {}: the host went away", n.mac)
                             : "this host does not know it from before",
         std::nullopt, "", "neigh_timer_handler"});
    if (failure.is_gateway())
        finding.evidence.push_back({fmt::format("{} of these packets were to go beyond it: a route "
                                                "has it as its gateway",
                                                n.routed),
                                    double(n.routed), "packets", "neigh_event_send_done"});
    if (failure.samples)
        finding.evidence.push_back({fmt::format("{} dropped packets were sampled, for example {}",
                                                failure.samples, failure.example),
                                    double(failure.samples), "packets", "kfree_skb NEIGH_FAILED"});
    if (failure.dealings.unanswered)
        finding.evidence.push_back(
            {fmt::format("{} connection attempts to there failed", failure.dealings.unanswered),
             double(failure.dealings.unanswered), "attempts", "inet_sock_set_state"});
    if (failure.dealings.resent)
        finding.evidence.push_back(
            {fmt::format("{} segments to there were sent again", failure.dealings.resent),
             double(failure.dealings.resent), "segments", "tcp_retransmit_skb"});
}

Finding describe(const Failure& failure, const Window& total) {
    const NeighbourFacts& n = failure.neighbour;
    Finding finding = neighbour_finding("neigh-failure", n, total);
    finding.severity = severity_of(failure);
    finding.confidence = n.waiting.empty() ? 0.8 : 0.95;
    finding.title = title_of(failure, total.names);
    // an address that nobody has: the one process that wants it has it from somewhere
    if (n.waiting.size() == 1 && !failure.is_gateway() && !failure.went_away())
        finding.culprit = n.waiting.front();
    finding.affected = n.waiting;
    finding.count = n.failed;
    finding.rate_per_s = failure.per_second;
    add_evidence(finding, failure);
    finding.advice.push_back({failure.went_away()
                                  ? "is that host up, and its link, switch port and VLAN in order?"
                                  : "is that host up and on this link (VLAN, cable, bridge)? Does "
                                    "anything answer?",
                              show_neighbour(n, total.names)});
    finding.advice.push_back(
        failure.is_gateway()
            ? Advice{"or the route names a gateway that is not there",
                     in_netns(n.netns, total.names) +
                         (n.family == AF_INET6 ? "ip -6 route show" : "ip route show")}
            : Advice{"or the address is wrong where the process has it from", ""});
    return finding;
}

/// All that were asked for once, by device.
void add_probes(const std::vector<const NeighbourFacts*>& once, const Window& total,
                std::vector<Finding>& findings) {
    std::map<std::pair<std::uint32_t, std::uint32_t>, std::vector<const NeighbourFacts*>> places;
    for (const NeighbourFacts* n : once)
        places[{n->netns, n->ifindex}].push_back(n);
    for (const auto& [place, all] : places) {
        Finding finding = neighbour_finding("neigh-failure", *all.front(), total);
        finding.severity = Severity::kInfo;
        finding.confidence = 0.5;
        const std::string others =
            all.size() > 1 ? fmt::format(" and {} other addresses do", all.size() - 1) : " does";
        finding.title =
            fmt::format("{}{} not answer on {}; nobody is seen to need {}", all.front()->address,
                        others, finding.where.device, all.size() > 1 ? "them" : "it");
        for (const NeighbourFacts* n : all) {
            finding.count += n->failed;
            for (const Party& party : n->waiting)
                add_party(finding.affected, party);
        }
        finding.evidence.push_back({"a single probe of an unused address is no fault", std::nullopt,
                                    "", "neigh_timer_handler"});
        findings.push_back(std::move(finding));
    }
}

} // namespace

std::vector<Finding> detect_neigh_failure(const Facts& facts) {
    const Failures failures(facts);
    std::vector<Finding> findings;
    std::vector<const NeighbourFacts*> once;
    std::map<std::pair<std::uint32_t, std::uint32_t>, std::size_t> told; // per device
    for (const Failure& failure : failures.all()) {
        const NeighbourFacts& n = failure.neighbour;
        if (!is_needed(failure))
            once.push_back(&n);
        else if (told[{n.netns, n.ifindex}]++ < threshold::kNeighTold)
            findings.push_back(describe(failure, facts.total));
    }
    for (Finding& finding : findings)
        for (const auto& [place, count] : told)
            if (count > threshold::kNeighTold && finding.where.netns == place.first &&
                finding.where.device == device(place.first, place.second, facts.total.names))
                finding.evidence.push_back({fmt::format("{} neighbours fail on that device", count),
                                            double(count), "neighbours", "neigh_timer_handler"});
    add_probes(once, facts.total, findings);
    return findings;
}

} // namespace culprit
