// SPDX-License-Identifier: MIT
// app-latency. Claim: a process takes long between question and answer; the network does not.
// Evidence: time from the last byte of the question to the first byte of the answer, measured at
// the server's own socket, so no network is in it; of a service elsewhere, the client's time less
// the round trip. Looks alike: a long path (the server's own time is short); Nagle's algorithm (the
// first byte of the answer leaves at once); a server that itself waits for another one, which is
// then the one to name; a process that is stopped, throttled or accepts late (other findings).
//
// Long polling, chats and consumers of queues answer when something happens. That shows by times of
// many seconds, by times of all lengths, or by other clients (the producers) that are answered at
// once at least as often, and is worth knowing only. A minority of late answers on a quick service
// says nothing: the median decides. Processes of one name that serve one port (workers, a child for
// each connection) are one service.
#include <algorithm>
#include <bit>
#include <cmath>
#include <optional>
#include <set>

#include <fmt/format.h>

#include "abi/connection.h"
#include "detect/listeners.h"
#include "detect/tcp_flows.h"
#include "detect/thresholds.h"
#include "model/format.h"
#include "util/text.h"

namespace culprit {

namespace {

/// Answers to one client.
struct Client {
    std::uint64_t answers = 0;
    __u64 slots[FLOW_SLOTS] = {};

    void add(const flow_total& sum);
    double quantile_ns(double share) const { return answer_quantile_ns(slots, share); }
};

void Client::add(const flow_total& sum) {
    answers += sum.answers;
    for (std::size_t i = 0; i < FLOW_SLOTS; i++)
        slots[i] += sum.answer_slots[i];
}

/// One service of processes of one name, as its own end sees it, or as one client of a service
/// elsewhere.
struct Service {
    Party party;      // to blame, or whose measurement it is
    bool here = true; // the server is of this host
    std::string place;
    std::map<ProcessKey, std::pair<std::uint64_t, Party>> processes; // with their answers
    std::map<ProcessKey, std::uint64_t> asked_ns; // its answers' time, by who waited for them
    std::map<std::string, Client> by_client;      // process, or address
    std::uint64_t answers = 0, answer_ns = 0, max_ns = 0, waiting = 0, waiting_max_ns = 0;
    __u64 slots[FLOW_SLOTS] = {};
    std::uint64_t rtt_looks = 0, srtt_us = 0, first_ns = 0;
    std::vector<Party> clients;  // some of them
    Service* upstream = nullptr; // that it waits for itself
    bool needed = false;         // a server of this host waits for it

    double mean_ns() const { return FlowFacts::ratio(answer_ns, answers); }
    double quantile_ns(double share) const { return answer_quantile_ns(slots, share); }
    double rtt_ns() const { return FlowFacts::ratio(srtt_us, rtt_looks) * 1000; }
    /// The half of the answers takes longer; slots are coarse, the mean of alike ones is not.
    double median_ns() const;
    bool is_slow() const;
    bool waits_for_events() const;
    /// Others are answered at once, at least as often as the slow ones.
    bool has_producers() const;
    /// Each answer takes as long as the others, a round time: as likely a timeout as work.
    bool is_timed() const;
};

double Service::median_ns() const {
    const double median = quantile_ns(0.5);
    return mean_ns() > median / 2 && mean_ns() < median * 2 ? mean_ns() : median;
}

bool Service::is_slow() const {
    using namespace threshold;
    const double network = here ? 0 : rtt_ns();
    return answers >= kAnswersMin && median_ns() - network >= kAnswerSlowNs &&
           median_ns() >= 2 * rtt_ns();
}

bool Service::waits_for_events() const {
    using namespace threshold;
    const bool spread =
        median_ns() >= kAnswerHurtNs && quantile_ns(0.9) >= kAnswerSpread * quantile_ns(0.1);
    return spread || median_ns() >= kAnswerEventNs || has_producers();
}

bool Service::has_producers() const {
    using namespace threshold;
    std::uint64_t quick = 0, slow = 0;
    for (const auto& [name, client] : by_client) {
        if (client.answers >= kAnswersMin && client.quantile_ns(0.9) < kAnswerQuickNs)
            quick += client.answers;
        else if (client.answers && client.quantile_ns(0.1) >= kAnswerQuickNs)
            slow += client.answers;
    }
    return slow && quick >= slow;
}

bool Service::is_timed() const {
    constexpr double kRound = 500e6, kExact = 0.02;
    const double whole = std::round(mean_ns() / kRound) * kRound;
    return double(max_ns) <= (1 + kExact) * mean_ns() &&
           std::abs(mean_ns() - whole) <= kExact * whole;
}

std::size_t slot_of(std::uint64_t ns) {
    return std::min<std::size_t>(static_cast<std::size_t>(std::bit_width(ns / 1000)),
                                 FLOW_SLOTS - 1);
}

/// Of this host: namespace, place and name. Of elsewhere: the client and the place.
using Services = std::map<std::tuple<PartyKey, std::string, std::string>, Service>;

Service& service_at(Services& services, const Party& party, bool here, const std::string& place) {
    const PartyKey who = here ? PartyKey{party.netns, 0, 0} : party_key(party);
    const std::string name = here ? std::string(until_nul(party.owner.comm)) : "";
    Service& service = services[{who, place, name}];
    service.here = here;
    service.place = place;
    return service;
}

void count(Service& service, const Party& party, std::uint64_t answers) {
    auto& known = service.processes[{party.owner.tgid, party.owner.start_ns}];
    known.first += answers;
    known.second = party;
}

/// The last answer of connections that ended, most of them too short to be looked at in between.
void add_ended(Services& services, const Window& total) {
    for (const auto& [closed, info] : total.rows<close_event>(ABI_CLOSE)) {
        if (!closed.answers || closed.role != ABI_ROLE_SERVER)
            continue;
        abi_flow end = closed.flow;
        end.local_port = closed.service_port;
        const Party party{closed.owner, closed.flow.netns};
        const std::string place = endpoint(end, true);
        Service& service = service_at(services, party, true, place);
        count(service, party, closed.answers);
        service.answers += closed.answers;
        service.answer_ns += closed.answer_ns;
        service.max_ns = std::max<std::uint64_t>(service.max_ns, closed.answer_ns / closed.answers);
        service.slots[0] += closed.answers - closed.answered_late;
        if (closed.answered_late)
            service.slots[slot_of(closed.answer_ns / closed.answered_late)] += closed.answered_late;
        service.first_ns =
            service.first_ns ? std::min(service.first_ns, info.first_ns) : info.first_ns;
    }
}

void add(Service& service, const FlowFacts& flow, const TcpFlows& flows) {
    count(service, flow.party(), flow.sum.answers);
    service.answers += flow.sum.answers;
    service.answer_ns += flow.sum.answer_ns;
    service.max_ns = std::max<std::uint64_t>(service.max_ns, flow.sum.answer_max_ns);
    service.waiting += flow.sum.waiting;
    service.waiting_max_ns =
        std::max<std::uint64_t>(service.waiting_max_ns, flow.sum.waiting_max_ns);
    for (std::size_t i = 0; i < FLOW_SLOTS; i++)
        service.slots[i] += flow.sum.answer_slots[i];
    service.rtt_looks += flow.sum.rtt_looks;
    service.srtt_us += flow.sum.srtt_us;
    service.first_ns = service.first_ns ? std::min(service.first_ns, flow.first_ns) : flow.first_ns;
    for (const Party& client : flows.parties_beyond(flow))
        add_party(service.clients, client);
    if (flow.others.empty())
        service.by_client[flow.peer()].add(flow.sum);
}

/// What a client of this host met. It may be the client of a service of this host, too.
void add_client(Services& services, const FlowFacts& client, const TcpFlows& flows) {
    const abi_owner& owner = client.sum.owner;
    std::set<Service*> asked;
    for (const FlowFacts* server : flows.others(client))
        asked.insert(&service_at(services, server->party(), true, server->service()));
    if (asked.empty())
        asked.insert(&service_at(services, client.party(), false, client.service()));
    for (Service* service : asked) {
        service->asked_ns[{owner.tgid, owner.start_ns}] += client.sum.answer_ns;
        if (service->here)
            service->by_client[fmt::format("{} {}", owner.tgid, owner.start_ns)].add(client.sum);
    }
}

/// The one process, or who listens for all of them, or who answers most.
void name_culprit(Service& service, const Listeners& listeners) {
    const auto most = std::ranges::max_element(
        service.processes, {}, [](const auto& process) { return process.second.first; });
    service.party = most->second.second;
    if (service.processes.size() == 1)
        return;
    for (const ListenerFacts& one : listeners.all())
        if (one.sum.flow.netns == service.party.netns && one.sum.owner.tgid &&
            until_nul(one.sum.owner.comm) == until_nul(service.party.owner.comm) &&
            service.place.ends_with(fmt::format(":{}", one.sum.flow.local_port)))
            service.party = {one.sum.owner, one.sum.flow.netns};
}

/// Of this host: their own view. Of elsewhere: each client's.
Services collect(const TcpFlows& flows, const Window& total) {
    Services services;
    for (const FlowFacts& flow : flows.all())
        if (flow.serves() || flow.others.empty())
            add(service_at(services, flow.party(), flow.serves(), flow.service()), flow, flows);
    add_ended(services, total);
    for (const FlowFacts& flow : flows.all())
        if (!flow.serves())
            add_client(services, flow, flows);
    const Listeners listeners(total);
    for (auto& [key, service] : services)
        name_culprit(service, listeners);
    return services;
}

/// Time that the processes of one service waited for the other, all their calls together.
std::optional<std::uint64_t> waited_for(const Service& other, const Service& service) {
    std::optional<std::uint64_t> sum;
    for (const auto& [process, ns] : other.asked_ns)
        if (service.processes.contains(process))
            sum = sum.value_or(0) + ns;
    return sum;
}

bool share_process(const Service& a, const Service& b) {
    return std::ranges::any_of(
        a.processes, [&](const auto& process) { return b.processes.contains(process.first); });
}

/// That service explains the time of the first one, by one call or by all of them. Its own process
/// may be a client of it, too.
bool explains(const Service& other, const Service& service) {
    const auto waited = waited_for(other, service);
    if (!other.is_slow() || !waited || other.upstream == &service ||
        (other.here && share_process(other, service)))
        return false;
    return other.median_ns() >= threshold::kAnswerUpstream * service.median_ns() ||
           double(*waited) >= threshold::kAnswerUpstream * double(service.answer_ns);
}

/// Whom does each slow service wait for?
void find_upstreams(Services& services) {
    for (auto& [key, service] : services) {
        if (!service.here || !service.party.owner.tgid || !service.is_slow())
            continue;
        for (auto& [other_key, other] : services)
            if (&other != &service && explains(other, service)) {
                service.upstream = &other;
                other.needed = true;
            }
    }
}

std::string span(double ns) {
    return duration(static_cast<std::uint64_t>(ns));
}

Severity severity_of(const Service& service) {
    using namespace threshold;
    if (service.waits_for_events())
        return Severity::kInfo;
    if (!service.here)
        return service.needed || service.median_ns() - service.rtt_ns() >= kAnswerFarNs
                   ? Severity::kWarning
                   : Severity::kInfo;
    return service.median_ns() >= kAnswerHurtNs && !service.is_timed() ? Severity::kCritical
                                                                       : Severity::kWarning;
}

void add_evidence(Finding& finding, const Service& service) {
    finding.evidence.push_back(
        {fmt::format("{} answers, {} each on average, half of them later than {}, 1 % later than "
                     "{}, the last after {}",
                     service.answers, span(service.mean_ns()), span(service.median_ns()),
                     span(std::min(service.quantile_ns(0.99), double(service.max_ns))),
                     span(double(service.max_ns))),
         service.median_ns() / 1e6, "ms",
         service.here ? "tcp_sock.lrcvtime, lsndtime" : "tcp_sock of the client"});
    if (service.rtt_looks)
        finding.evidence.push_back(
            {fmt::format("the network is not it: a round trip takes {}", span(service.rtt_ns())),
             service.rtt_ns() / 1e6, "ms", "tcp_sock.srtt_us"});
    if (service.processes.size() > 1)
        finding.evidence.push_back(
            {fmt::format("{} processes of that name answer there", service.processes.size()),
             double(service.processes.size()), "processes", "inet_sock_set_state"});
    if (service.waiting)
        finding.evidence.push_back(
            {fmt::format("questions without an answer so far were seen {} times, the oldest {} old",
                         service.waiting, span(double(service.waiting_max_ns))),
             double(service.waiting), "looks", "tcp_sock.lrcvtime"});
    if (service.waits_for_events())
        finding.evidence.push_back({"times like these are also those of long polling, chats and "
                                    "queues, which answer when something happens",
                                    std::nullopt, "", ""});
}

Finding describe(const Service& service, const Window& total) {
    const std::uint32_t tgid = service.party.owner.tgid;
    Finding finding{.id = "app-latency", .layer = Layer::kApplication};
    finding.severity = severity_of(service);
    finding.confidence = service.waits_for_events() ? 0.5 : service.here ? 0.9 : 0.7;
    finding.where = {.local = service.here ? service.place : "",
                     .remote = service.here ? "" : service.place,
                     .netns = service.party.netns};
    if (service.here) {
        finding.culprit = service.party;
        finding.affected = service.clients;
    } else {
        add_party(finding.affected, service.party);
    }
    finding.title = service.here ? fmt::format("{} takes {} to answer on {}",
                                               owner_name(service.party.owner, total.names),
                                               span(service.median_ns()), service.place)
                                 : fmt::format("{} takes {} to answer {}", service.place,
                                               span(service.median_ns()),
                                               owner_name(service.party.owner, total.names));
    finding.first_ns = service.first_ns;
    finding.count = service.answers;
    finding.rate_per_s = per_second(total, double(service.answers));
    add_evidence(finding, service);
    if (service.here && tgid)
        finding.advice = {{"find out what it does between question and answer: CPU, locks, disk, "
                           "or another service",
                           fmt::format("top -H -p {0}; cat /proc/{0}/wchan", tgid)}};
    else
        finding.advice = {{"ask who runs that service; until then a timeout, fewer calls or a "
                           "cache keep the wait from users",
                           ""}};
    finding.verify = verify_in_netns(finding);
    return finding;
}

} // namespace

std::vector<Finding> detect_app_latency(const Facts& facts) {
    const TcpFlows& flows = facts.flows();
    Services services = collect(flows, facts.total);
    find_upstreams(services);
    std::vector<Finding> findings;
    for (const auto& [key, service] : services)
        if (service.is_slow() && !service.upstream) // else the one it waits for is told
            findings.push_back(describe(service, facts.total));
    limit_per_process(findings);
    return findings;
}

} // namespace culprit
