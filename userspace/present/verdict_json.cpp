// SPDX-License-Identifier: MIT
// The public contract "culprit.diagnosis/1": members may be added, none may change or go.
#include <cmath>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "model/format.h"
#include "model/identity.h"
#include "present/layout.h"
#include "present/present.h"
#include "present/tcp.h"
#include "util/text.h"
#include "util/time.h"

namespace culprit {

namespace {

using Json = nlohmann::ordered_json;

Json text_or_null(const std::string& text) {
    return text.empty() ? Json(nullptr) : Json(safe_once(text));
}

Json number_or_null(std::uint32_t number) {
    return number ? Json(number) : Json(nullptr);
}

Json texts(const std::vector<std::string>& list) {
    Json out = Json::array();
    for (const std::string& text : list)
        out.push_back(safe_once(text));
    return out;
}

template <typename List, typename Make>
Json array_of(const List& list, const Make& make) {
    Json out = Json::array();
    for (const auto& element : list)
        out.push_back(make(element));
    return out;
}

std::string wall_time(const Verdict& verdict, std::uint64_t boot_ns) {
    return rfc3339(static_cast<std::int64_t>(boot_ns) + verdict.wall_offset_ns);
}

Json party_json(const Verdict& verdict, const Party& party) {
    const abi_owner& owner = party.owner;
    const Identity who = identify(owner, verdict.names);
    const auto raw_or_null = [](const std::string& bytes) {
        return bytes.empty() ? Json(nullptr) : Json(safe_text(bytes));
    };
    Json out;
    out["pid"] = number_or_null(owner.tgid);
    out["comm"] = owner.tgid ? Json(safe_text(who.comm)) : Json(nullptr);
    out["exe"] = raw_or_null(who.exe);
    out["cmdline"] = raw_or_null(who.cmdline);
    out["cgroup"] = raw_or_null(who.cgroup);
    out["container"] = raw_or_null(who.container);
    out["unit"] = raw_or_null(who.unit);
    out["started"] = owner.start_ns ? Json(wall_time(verdict, owner.start_ns)) : Json(nullptr);
    out["exited"] = who.exited ? Json(*who.exited) : Json(nullptr);
    out["netns"] = number_or_null(party.netns);
    out["provenance"] = provenance(owner.provenance);
    return out;
}

/// An id means nothing on another day; a name does.
Json netns_name_or_null(std::uint32_t netns, const Names& names) {
    const auto name = names.netns.find(netns);
    return name == names.netns.end() ? Json(nullptr) : Json(safe_text(name->second));
}

Json where_json(const Where& where, const Names& names) {
    return {{"local", text_or_null(where.local)},
            {"remote", text_or_null(where.remote)},
            {"device", text_or_null(where.device)},
            {"kernel", text_or_null(where.kernel)},
            {"reason", text_or_null(where.reason)},
            {"netns", number_or_null(where.netns)},
            {"netns_name", netns_name_or_null(where.netns, names)}};
}

Json traffic_json(const Traffic& traffic) {
    return {{"scope", kTrafficScopeNames[static_cast<std::size_t>(traffic.scope)]},
            {"tries_per_s", finite(traffic.tries_per_s)},
            {"connections_per_s", finite(traffic.connections_per_s)},
            {"packets_per_s", finite(traffic.packets_per_s)}};
}

Json evidence_json(const Evidence& evidence) {
    const bool has_value = evidence.value && std::isfinite(*evidence.value);
    return {{"text", safe_once(evidence.text)},
            {"value", has_value ? Json(*evidence.value) : Json(nullptr)},
            {"unit", text_or_null(evidence.unit)},
            {"source", text_or_null(evidence.source)}};
}

Json advice_json(const Advice& advice) {
    return {{"text", safe_once(advice.text)},
            {"command", text_or_null(advice.command)},
            {"risk", text_or_null(advice.risk)}};
}

Json finding_json(const Verdict& verdict, const Finding& finding) {
    Json out;
    out["id"] = finding.id;
    out["layer"] = kLayerNames[static_cast<std::size_t>(finding.layer)];
    out["severity"] = kSeverityNames[static_cast<std::size_t>(finding.severity)];
    out["confidence"] = finite(finding.confidence);
    out["title"] = safe_once(finding.title);
    out["culprit"] = finding.culprit ? party_json(verdict, *finding.culprit) : Json(nullptr);
    out["affected"] =
        array_of(finding.affected, [&](const Party& party) { return party_json(verdict, party); });
    out["where"] = where_json(finding.where, verdict.names);
    out["first_seen"] = wall_time(verdict, finding.first_ns);
    out["count"] = finding.count;
    out["rate_per_s"] = finite(finding.rate_per_s);
    out["evidence"] = array_of(finding.evidence, evidence_json);
    out["advice"] = array_of(finding.advice, advice_json);
    out["verify"] =
        finding.verify.empty() ? Json(nullptr) : Json("culprit " + safe_once(finding.verify));
    out["traffic"] = traffic_json(finding.traffic);
    return out;
}

Json layer_json(const LayerVerdict& layer) {
    return {{"layer", kLayerNames[static_cast<std::size_t>(layer.layer)]},
            {"status", kLayerStatusNames[static_cast<std::size_t>(layer.status)]},
            {"checked", texts(layer.checked)},
            {"not_checked", texts(layer.not_checked)}};
}

Json reconciled_json(const Reconciled& row) {
    Json out = {{"counter", row.counter},
                {"netns", number_or_null(row.netns)},
                {"kernel", row.kernel},
                {"explained", row.explained},
                {"unexplained", row.unexplained()}};
    if (!row.note.empty())
        out["note"] = safe_once(row.note);
    return out;
}

Json lost_json(const std::map<std::uint32_t, Lost>& lost) {
    std::uint64_t events = 0;
    Json kinds = Json::object();
    for (const auto& [id, of_kind] : lost) {
        events += of_kind.ring_full;
        kinds[kind_name(id)] = {{"seen", of_kind.seen},
                                {"ring_full", of_kind.ring_full},
                                {"limited", of_kind.limited},
                                {"filtered", of_kind.filtered},
                                {"map_full", of_kind.map_full}};
    }
    return {{"events", events}, {"by_kind", kinds}};
}

Json program_json(const ProgramCost& program) {
    Json ns_per_run = nullptr;
    if (program.ns && program.runs)
        ns_per_run = static_cast<double>(program.ns) / static_cast<double>(program.runs);
    return {{"name", safe_once(program.name)}, {"runs", program.runs}, {"ns_per_run", ns_per_run}};
}

Json impact_json(const Impact& impact) {
    return {{"hurt", texts(impact.hurt)},
            {"processes_hurt", impact.hurt.size()},
            {"processes_seen", impact.processes},
            {"netns", impact.netns},
            {"attempts", impact.attempts},
            {"attempts_failed", impact.failed},
            {"ended", impact.ended},
            {"ended_cut", impact.cut},
            {"sent_again", impact.sent_again}};
}

Json numbers_json(Severity severity, std::uint64_t count, double rate_per_s) {
    return {{"severity", kSeverityNames[static_cast<std::size_t>(severity)]},
            {"count", count},
            {"rate_per_s", finite(rate_per_s)}};
}

Json verification_json(const Verdict& verdict, const Verification& verification) {
    Json rows = Json::array(), fresh = Json::array();
    for (const Verified& one : verification.findings) {
        const Sighting& before = one.before;
        Json row = {{"id", before.id},
                    {"title", safe_once(before.title)},
                    {"outcome", kRepairNames[static_cast<std::size_t>(one.repair)]},
                    {"why", text_or_null(one.why)},
                    {"before", numbers_json(before.severity, before.count, before.rate_per_s)},
                    {"after", nullptr},
                    {"finding", nullptr},
                    {"load_per_s", finite(one.load_per_s)}};
        if (one.after) {
            const Finding& after = verdict.findings[*one.after];
            row["after"] = numbers_json(after.severity, after.count, after.rate_per_s);
            row["finding"] = *one.after;
        }
        rows.push_back(std::move(row));
    }
    for (const std::size_t i : verification.fresh)
        fresh.push_back(i);
    return {{"from", safe_once(verification.from)},
            {"to", safe_once(verification.to)},
            {"findings", std::move(rows)},
            {"new", std::move(fresh)}};
}

} // namespace

std::string verdict_json(const Verdict& verdict) {
    Json out;
    out["schema"] = "culprit.diagnosis/1";
    out["host"] = safe_once(verdict.host);
    out["kernel"] = safe_once(verdict.kernel);
    out["from"] = wall_time(verdict, verdict.from_ns);
    out["to"] = wall_time(verdict, verdict.to_ns);
    out["verdict"] = kOutcomeNames[static_cast<std::size_t>(verdict.outcome)];
    out["scope"] = safe_once(verdict.scope);
    out["impact"] = impact_json(verdict.impact);
    out["incomplete"] = texts(verdict.incomplete);
    out["thresholds"] = texts(verdict.thresholds);
    if (verdict.verification)
        out["verification"] = verification_json(verdict, *verdict.verification);
    out["findings"] = array_of(
        verdict.findings, [&](const Finding& finding) { return finding_json(verdict, finding); });
    out["layers"] = array_of(verdict.layers, layer_json);
    out["tcp"] = tcp_to_json(verdict.tcp, verdict.names);
    out["reconciliation"] = array_of(verdict.reconciliation, reconciled_json);
    out["reconciliation_gaps"] = texts(verdict.reconciliation_gaps);
    out["lost"] = lost_json(verdict.lost);
    out["self"] = {{"cpu_percent", finite(verdict.self.cpu_percent)},
                   {"rss_bytes", verdict.self.rss_bytes},
                   {"programs", array_of(verdict.self.programs, program_json)}};
    return out.dump(2, ' ', false, Json::error_handler_t::replace) + '\n';
}

} // namespace culprit
