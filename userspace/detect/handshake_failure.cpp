// SPDX-License-Identifier: MIT
// handshake-failure. Claim: a server hangs up right after the client's first bytes, time after
// time, as one does that cannot agree on a protocol (TLS version, cipher, certificate, name).
// Evidence: sizes and times of ended connections, no payload: as many bytes from the client as a
// ClientHello has, seven (a TLS record with an alert) or none from the server, which closes first.
// Hence the low confidence. Looks alike: health checks (no bytes), pings of databases (few bytes),
// short requests (their answers are longer), senders that close themselves, servers that answer
// such a question with another word of seven bytes. Resets are rst-storm's.
#include <algorithm>
#include <map>
#include <tuple>

#include <fmt/format.h>

#include "abi/connection.h"
#include "detect/finding.h"
#include "detect/sockets.h"
#include "detect/thresholds.h"
#include "model/format.h"

namespace culprit {

namespace {

constexpr double kAlertBytes = 7; // RFC 8446 section 5.1: five of the record, section 6: two

/// One service as the sockets of one end show it.
struct Service {
    Party server;                  // tgid 0 when it is elsewhere
    std::vector<Party> clients;    // of this host
    std::uint32_t netns = 0;       // of that end
    std::uint64_t ended = 0;       // with data
    std::uint64_t broken = 0;      // of them as above
    std::uint64_t alerts = 0;      // of them with seven bytes
    std::uint64_t lived_ns = 0;    // sum over the broken
    std::uint64_t asked_bytes = 0; // the same
    std::uint64_t first_ns = 0;

    bool is_fault(const Window& total) const {
        using namespace threshold;
        return broken >= kHelloMin && per_second(total, double(broken)) >= kHelloPerSecond &&
               double(broken) >= kHelloShare * double(ended);
    }
};

using Services = std::map<std::tuple<std::string, bool, std::uint32_t>, Service>; // end, serves

/// What connections of one row have in common, on average.
struct Sizes {
    double asked = 0, answered = 0, lived_ns = 0;
};

/// The kernel counts a SYN among the bytes sent, and a FIN among those of its side.
Sizes sizes_of(const close_event& closed, std::uint64_t count, bool serves) {
    const double one = double(count);
    const double sent = double(closed.bytes_sent) / one - 1;
    const double received = double(closed.bytes_received) / one;
    return {serves ? received : sent, serves ? sent : received,
            double(closed.established_ns) / one};
}

/// With or without the FIN.
bool is_about(double bytes, double wanted) {
    return bytes >= wanted - 0.01 && bytes <= wanted + 1.01;
}

bool is_broken(const close_event& closed, const Sizes& sizes, bool serves) {
    const std::uint8_t server = serves ? ABI_CLOSER_LOCAL : ABI_CLOSER_REMOTE;
    return closed.closer == server && closed.ending == ABI_ENDING_FIN &&
           sizes.asked >= double(threshold::kHelloBytesMin) &&
           sizes.asked <= double(threshold::kHelloBytesMax) &&
           sizes.lived_ns <= double(threshold::kHelloNs) &&
           (is_about(sizes.answered, kAlertBytes) || is_about(sizes.answered, 0));
}

void add(Service& service, const close_event& closed, const RowInfo& info, bool serves) {
    const Sizes sizes = sizes_of(closed, info.count, serves);
    const Party party{closed.owner, closed.flow.netns};
    service.netns = closed.flow.netns;
    service.ended += info.count;
    if (!is_broken(closed, sizes, serves))
        return;
    if (serves)
        service.server = party;
    else
        add_party(service.clients, party);
    service.broken += info.count;
    service.alerts += is_about(sizes.answered, kAlertBytes) ? info.count : 0;
    service.lived_ns += closed.established_ns;
    service.asked_bytes += static_cast<std::uint64_t>(sizes.asked * double(info.count));
    service.first_ns = service.first_ns ? std::min(service.first_ns, info.first_ns) : info.first_ns;
}

Services collect(const Window& total) {
    Services services;
    for (const auto& [closed, info] : total.rows<close_event>(ABI_CLOSE)) {
        if (!closed.had_data || !info.count)
            continue;
        const bool serves = role_of(closed) == ABI_ROLE_SERVER;
        abi_flow flow = closed.flow;
        (serves ? flow.local_port : flow.remote_port) = closed.service_port;
        add(services[{endpoint(flow, serves), serves, closed.flow.netns}], closed, info, serves);
    }
    return services;
}

Finding describe(const std::string& end, const Service& service, const Window& total) {
    const double broken = double(service.broken);
    Finding finding{.id = "handshake-failure", .layer = Layer::kApplication};
    finding.confidence = 0.4;
    for (const Party& client : service.clients)
        add_party(finding.affected, client);
    if (service.server.owner.tgid)
        add_party(finding.affected, service.server);
    finding.title = fmt::format("{} hangs up on {} right after the first bytes", end,
                                service.clients.empty()
                                    ? "its clients"
                                    : owner_name(service.clients.front().owner, total.names));
    (service.server.owner.tgid ? finding.where.local : finding.where.remote) = end;
    finding.where.netns = service.netns;
    finding.first_ns = service.first_ns;
    finding.count = service.broken;
    finding.rate_per_s = per_second(total, broken);
    finding.evidence = {
        {fmt::format("{} of {} connections ended that way: {:.0f} bytes from the client, {} from "
                     "the server, which closed first, after {} on average",
                     service.broken, service.ended, double(service.asked_bytes) / broken,
                     service.alerts == service.broken ? "seven"
                     : service.alerts                 ? "seven or none"
                                                      : "none",
                     duration(service.lived_ns / service.broken)),
         broken / double(service.ended), "ratio", "inet_sock_set_state"},
        {"these are the sizes of a TLS ClientHello and of an alert; what was said is payload, "
         "which is not read",
         std::nullopt, "", "RFC 8446"}};
    finding.advice = {{"if it is TLS: compare versions, ciphers, names and certificates of both "
                       "ends, and look into the server's error log",
                       fmt::format("{}openssl s_client -connect {} -servername NAME",
                                   in_netns(service.netns, total.names), end)}};
    finding.verify = verify_in_netns(finding);
    return finding;
}

bool is_loopback(const std::string& end) {
    return end.starts_with("127.") || end.starts_with("[::1]");
}

/// One story for both ends where both are here.
void join_ends(Services& services) {
    for (auto& [key, client] : services) {
        const auto& [end, serves, netns] = key;
        if (serves || !client.broken)
            continue;
        for (auto& [other_key, server] : services) {
            const auto& [other_end, other_serves, other_netns] = other_key;
            if (!other_serves || !server.broken || other_end != end ||
                (is_loopback(end) && other_netns != netns))
                continue;
            for (const Party& party : client.clients)
                add_party(server.clients, party);
            client.broken = 0;
        }
    }
}

} // namespace

std::vector<Finding> detect_handshake_failure(const Facts& facts) {
    Services services = collect(facts.total);
    join_ends(services);
    std::vector<Finding> findings;
    for (const auto& [key, service] : services)
        if (service.is_fault(facts.total))
            findings.push_back(describe(std::get<0>(key), service, facts.total));
    limit_per_process(findings);
    return findings;
}

} // namespace culprit
