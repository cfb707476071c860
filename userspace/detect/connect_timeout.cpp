// SPDX-License-Identifier: MIT
// connect-timeout. Claim: a process's connection attempts get no answer, or only after repeats.
// Evidence: attempts that timed out or were given up after repeated SYNs, attempts still waiting.
// Looks alike: a refused connection (answered), a drop on this host that another finding tells of,
// or a listener of this host that does not accept (this is not reported then), handshakes of which
// some are answered at once and others are lost (syn-loss), an attempt that fails before a SYN is
// sent.
#include <map>
#include <tuple>

#include <fmt/format.h>

#include "detect/drops.h"
#include "detect/finding.h"
#include "detect/flows.h"
#include "detect/handshakes.h"
#include "detect/listeners.h"
#include "detect/scans.h"
#include "detect/thresholds.h"
#include "detect/unreachable.h"
#include "model/format.h"

namespace culprit {

namespace {

struct Attempts {
    Party party;
    abi_flow flow{};
    std::uint64_t ok = 0, timed_out = 0, given_up = 0, syn_repeats = 0, waiting = 0, first_ns = 0;
    std::size_t ports = 1; // that are summed up here

    std::string to() const {
        return ports == 1 ? destination(flow)
                          : fmt::format("{} on {} ports", address(flow, false), ports);
    }
};

using Key = std::tuple<std::uint32_t, std::uint32_t, std::uint64_t, std::string>;

Attempts& entry(std::map<Key, Attempts>& found, const abi_flow& flow, const abi_owner& owner) {
    Attempts& a = found[{flow.netns, owner.tgid, owner.start_ns, destination(flow)}];
    a.party = {owner, flow.netns};
    a.flow = flow;
    return a;
}

void earlier(std::uint64_t& first, std::uint64_t candidate) {
    if (!first || candidate < first)
        first = candidate;
}

std::map<Key, Attempts> collect(const Window& total) {
    std::map<Key, Attempts> found;
    for (const auto& [attempt, info] : total.rows<connect_event>(ABI_CONNECT)) {
        Attempts& a = entry(found, attempt.flow, attempt.owner);
        if (attempt.result == ABI_RESULT_OK) {
            a.ok += info.count;
            continue;
        }
        const bool silent = attempt.error == ETIMEDOUT;
        a.timed_out += silent ? info.count : 0;
        a.given_up += attempt.result == ABI_RESULT_ABANDONED ? info.count : 0;
        if (silent || attempt.result == ABI_RESULT_ABANDONED)
            earlier(a.first_ns, info.first_ns);
    }
    for (const auto& [again, info] : total.rows<retransmit_event>(ABI_RETRANSMIT)) {
        if (again.type != ABI_RETRANSMIT_SYN)
            continue;
        Attempts& a = entry(found, again.flow, again.owner);
        a.syn_repeats += again.segs;
        a.waiting++; // the flow is in the key: one row per attempt
        earlier(a.first_ns, info.first_ns);
    }
    return found;
}

void add(Attempts& into, const Attempts& other) {
    into.timed_out += other.timed_out;
    into.given_up += other.given_up;
    into.syn_repeats += other.syn_repeats;
    into.waiting += other.waiting;
    into.ports++;
    if (other.first_ns)
        earlier(into.first_ns, other.first_ns);
}

/// Of a host that is down each of many services may be tried once only.
std::vector<Attempts> by_host(const std::map<Key, Attempts>& found, const Scans& scans) {
    std::map<Key, std::vector<const Attempts*>> hosts; // the key's place is an address
    for (const auto& [key, a] : found)
        if (!scans.explains(a.flow, a.party.owner)) {
            Key host = key;
            std::get<3>(host) = address(a.flow, false);
            hosts[host].push_back(&a);
        }
    std::vector<Attempts> all;
    for (const auto& [key, ports] : hosts) {
        const bool down = ports.size() >= threshold::kDownPorts &&
                          std::ranges::none_of(ports, [](const Attempts* a) { return a->ok; });
        for (const Attempts* one : ports)
            if (down && one != ports.front())
                add(all.back(), *one);
            else
                all.push_back(*one);
    }
    return all;
}

bool is_fault(const Attempts& a) {
    // given up at once, no SYN repeated: the process changed its mind
    const std::uint64_t failed = a.timed_out + std::min(a.given_up, a.waiting);
    const double share = failed ? double(failed) / double(failed + a.ok) : 0;
    if (failed >= threshold::kUnansweredMin && share >= threshold::kUnansweredShare)
        return true;
    if (!a.ok)
        return a.syn_repeats >= threshold::kSynRepeatsMin;
    const auto attempts = static_cast<double>(std::max(a.waiting, failed) + a.ok);
    return a.syn_repeats >= threshold::kLateMin &&
           static_cast<double>(a.syn_repeats) >= threshold::kLateShare * attempts;
}

Finding describe(const Attempts& a, const Window& total) {
    Finding finding{.id = "connect-timeout",
                    .severity = a.ok ? Severity::kWarning : Severity::kCritical};
    finding.confidence = a.ok ? 0.8 : 0.9;
    finding.title =
        fmt::format("{} gets {} answer when it connects to {}",
                    owner_name(a.party.owner, total.names), a.ok ? "late or no" : "no", a.to());
    add_party(finding.affected, a.party); // it suffers; who drops its packets is not known here
    finding.where = {.remote = a.ports == 1 ? a.to() : address(a.flow, false),
                     .netns = a.party.netns};
    finding.first_ns = a.first_ns;
    finding.count = std::max(a.timed_out + a.given_up, a.waiting);
    finding.rate_per_s = per_second(total, double(finding.count));
    finding.evidence.push_back(
        {fmt::format("{} attempts timed out, {} were given up by the process, {} succeeded",
                     a.timed_out, a.given_up, a.ok),
         double(a.timed_out + a.given_up), "attempts", "inet_sock_set_state"});
    finding.evidence.push_back(
        {fmt::format("{} SYNs were sent again, by {} attempts", a.syn_repeats, a.waiting),
         double(a.syn_repeats), "SYNs", "tcp_retransmit_skb"});
    finding.advice.push_back(
        {"the destination is down, filtered, or its answers are lost on the way",
         fmt::format("mtr -rwzc 20 {}", address(a.flow, false))});
    finding.verify =
        a.ports == 1
            ? fmt::format("diagnose --only connect-timeout --port {} --for 30s", a.flow.remote_port)
            : verify_in_netns(finding);
    return finding;
}

} // namespace

std::vector<Finding> detect_connect_timeout(const Facts& facts) {
    const LocalDrops drops = find_local_drops(facts.total);
    const Listeners listeners(facts.total);
    const Unreachables unreachables(facts.total);
    const HandshakeLosses losses(facts);
    std::vector<Finding> findings;
    for (const Attempts& a : by_host(collect(facts.total), Scans(facts.total))) {
        if (!is_fault(a) || losses.has(a.flow) || listeners.at(a.flow, false) ||
            unreachables.explains(a.flow))
            continue;
        Finding finding = describe(a, facts.total);
        // told there, if it is told at all
        if (const DropPlace* at = drops.of_destination(a.flow))
            finding.excuses.push_back(drop_owner(*at, facts.total));
        else
            finding.evidence.push_back(no_local_drop(facts.total));
        findings.push_back(std::move(finding));
    }
    return findings;
}

} // namespace culprit
