// SPDX-License-Identifier: MIT
// The contract culprit.dns/1.
#include <nlohmann/json.hpp>

#include "model/identity.h"
#include "present/dns.h"
#include "present/layout.h"
#include "util/dns.h"
#include "util/text.h"
#include "util/time.h"

namespace culprit {

namespace {

using Json = nlohmann::ordered_json;

/// What a run means to its figures.
struct Run {
    const Names& names;
    double seconds = 0;
};

double seconds_of(const Verdict& verdict) {
    return static_cast<double>(verdict.to_ns - verdict.from_ns) / 1e9;
}

Json latency_json(const DnsFigures& figures) {
    if (!figures.counts.latency_ns)
        return nullptr;
    return {{"p50", finite(figures.quantile_ns(0.5) / 1e6)},
            {"p99", finite(figures.quantile_ns(0.99) / 1e6)},
            {"mean", finite(figures.mean_ns() / 1e6)},
            {"max", static_cast<double>(figures.counts.latency_max_ns) / 1e6}};
}

Json rcodes_json(const DnsFigures& figures) {
    return {{"NOERROR", figures.counts.no_error},
            {"SERVFAIL", figures.counts.servfail},
            {"NXDOMAIN", figures.counts.nxdomain},
            {"REFUSED", figures.counts.refused},
            {"other", figures.other_codes()}};
}

void add_figures(Json& out, const DnsFigures& figures, const Run& run) {
    const dns_counts& counts = figures.counts;
    const double rate = static_cast<double>(counts.questions) / run.seconds;
    out["questions"] = counts.questions;
    out["questions_per_s"] = finite(rate);
    out["answers"] = counts.answers;
    out["rcodes"] = rcodes_json(figures);
    out["no_record"] = counts.empty;
    out["truncated"] = counts.truncated;
    out["tcp_questions"] = figures.by_tcp;
    out["retries"] = counts.retries;
    out["timeouts"] = counts.silent;
    out["failed"] = counts.failed;
    out["late_answers"] = counts.late;
    out["unread_answers"] = counts.unread;
    out["latency_ms"] = latency_json(figures);
}

Json types_json(const std::vector<DnsFigures>& types, const Run& run) {
    Json out = Json::array();
    for (const DnsFigures& figures : types) {
        Json one = {{"type", dns_type(figures.type)}};
        add_figures(one, figures, run);
        out.push_back(std::move(one));
    }
    return out;
}

/// Either a DnsClient or a DnsServer.
template <typename One>
Json process_json(const One& one, const Names& names) {
    const bool known = one.owner.tgid != 0;
    return {{"netns", one.netns},
            {"pid", known ? Json(one.owner.tgid) : Json(nullptr)},
            {"comm", known ? Json(safe_text(identify(one.owner, names).comm)) : Json(nullptr)}};
}

Json client_json(const DnsClient& client, const Run& run) {
    Json out = process_json(client, run.names);
    out["server"] = safe_once(client.server);
    add_figures(out, client.sum, run);
    out["types"] = types_json(client.types, run);
    return out;
}

Json server_json(const DnsServer& server, const Run& run) {
    Json out = process_json(server, run.names);
    out["address"] = safe_once(server.address);
    add_figures(out, server.sum, run);
    const auto hits = server.cache_hit_ratio();
    out["cache_hit_ratio"] = hits ? Json(finite(*hits)) : Json(nullptr);
    out["upstreams"] = Json::array();
    for (const DnsClient& upstream : server.upstreams) {
        Json one = {{"server", safe_once(upstream.server)}};
        add_figures(one, upstream.sum, run);
        out["upstreams"].push_back(std::move(one));
    }
    return out;
}

/// At most `limit` of them; how many were left out is added to the document.
template <typename One, typename ToJson>
void add_list(Json& out, const char* name, const std::vector<One>& all, std::size_t left_out,
              std::size_t limit, const ToJson& to_json) {
    out[name] = Json::array();
    for (std::size_t i = 0; i < std::min(limit, all.size()); i++)
        out[name].push_back(to_json(all[i]));
    out[std::string(name) + "_left_out"] = left_out + all.size() - out[name].size();
}

} // namespace

std::string dns_json(const Verdict& verdict, std::size_t limit) {
    const auto wall = [&](std::uint64_t boot_ns) {
        return rfc3339(static_cast<std::int64_t>(boot_ns) + verdict.wall_offset_ns);
    };
    const Run run{verdict.names, seconds_of(verdict)};
    const DnsServices& dns = verdict.dns;
    Json out = {{"schema", "culprit.dns/1"},
                {"host", safe_once(verdict.host)},
                {"kernel", safe_once(verdict.kernel)},
                {"from", wall(verdict.from_ns)},
                {"to", wall(verdict.to_ns)}};
    add_list(out, "clients", dns.clients, dns.clients_left_out, limit,
             [&](const DnsClient& client) { return client_json(client, run); });
    add_list(out, "servers", dns.servers, dns.servers_left_out, limit,
             [&](const DnsServer& server) { return server_json(server, run); });
    out["notes"] = Json::array();
    for (const std::string& note : dns_notes(verdict))
        out["notes"].push_back(safe_once(note));
    return out.dump(2) + '\n';
}

} // namespace culprit
