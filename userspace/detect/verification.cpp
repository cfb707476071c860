// SPDX-License-Identifier: MIT
// Pairs the findings of two runs. "Fixed" needs proof: the fault is not seen any more although
// there was traffic that would have met it, and somebody looked.
#include "detect/verification.h"

#include <algorithm>

#include <fmt/format.h>

#include "detect/thresholds.h"
#include "detect/traffic.h"
#include "model/identity.h"

namespace culprit {

namespace {

/// Ports that the kernel chose say nothing (net.ipv4.ip_local_port_range begins here by default).
constexpr std::string_view kChosenPort = "32768";

bool is_chosen(std::string_view port) {
    return port.size() > kChosenPort.size() ||
           (port.size() == kChosenPort.size() && port >= kChosenPort);
}

/// Both ends are one: equal but for a port that the kernel chose.
bool same_end(std::string_view a, std::string_view b) {
    const auto split = [](std::string_view end) {
        const std::size_t colon = end.rfind(':');
        const bool port = end.find(':') == colon || end.find("]:") != std::string_view::npos;
        return std::pair(end.substr(0, port ? colon : end.size()),
                         port && colon != std::string_view::npos ? end.substr(colon + 1) : "");
    };
    const auto [host, port] = split(a);
    const auto [other_host, other_port] = split(b);
    return host == other_host && (port == other_port || (is_chosen(port) && is_chosen(other_port)));
}

bool same_netns(const Sighting& a, const Sighting& b) {
    if (!a.netns_name.empty() && !b.netns_name.empty())
        return a.netns_name == b.netns_name;
    return a.where.netns == b.where.netns;
}

/// How much of what both know agrees; nothing when something does not.
std::optional<int> likeness(const Sighting& a, const Sighting& b) {
    if (a.id != b.id || !same_netns(a, b))
        return std::nullopt;
    int like = 0;
    for (const auto member : {&Where::remote, &Where::local, &Where::device}) {
        const std::string &one = a.where.*member, &other = b.where.*member;
        if (one.empty() || other.empty())
            continue;
        if (!same_end(one, other))
            return std::nullopt;
        like += 2;
    }
    if (a.comm == b.comm)
        return like + 1;
    // without a place the name of the process is all there is
    return like || a.comm.empty() || b.comm.empty() ? std::optional(like) : std::nullopt;
}

bool is_grave(Severity severity) {
    return severity != Severity::kInfo;
}

std::optional<std::size_t> find_same(const Sighting& before, const std::vector<Sighting>& after,
                                     const std::vector<bool>& taken) {
    std::optional<std::size_t> best;
    int most = -1;
    for (std::size_t i = 0; i < after.size(); i++)
        if (const auto like = taken[i] ? std::nullopt : likeness(before, after[i]);
            like && *like > most) {
            most = *like;
            best = i;
        }
    return best;
}

/// The same trouble under another name: a grave finding that is new, at the same end or device.
const Sighting* told_as(const Sighting& before, const std::vector<Sighting>& after,
                        const std::vector<bool>& taken) {
    for (std::size_t i = 0; i < after.size(); i++) {
        const Where &one = before.where, &other = after[i].where;
        const bool end =
            !one.remote.empty() && !other.remote.empty() && same_end(one.remote, other.remote);
        const bool device = !one.device.empty() && one.device == other.device;
        if (!taken[i] && is_grave(after[i].severity) && same_netns(before, after[i]) &&
            (end || device))
            return &after[i];
    }
    return nullptr;
}

/// Per unit of traffic where both runs tell it: half the load alone is no repair.
Repair compare(const Sighting& before, const Sighting& after) {
    if (after.severity != before.severity)
        return after.severity < before.severity ? Repair::kImproved : Repair::kWorse;
    const Traffic &was = before.traffic, &is = after.traffic;
    const bool comparable = was.scope == is.scope && was.load() > 0 && is.load() > 0;
    const double then = comparable ? before.rate_per_s / was.load() : before.rate_per_s;
    const double now = comparable ? after.rate_per_s / is.load() : after.rate_per_s;
    if (now * threshold::kRepairFactor <= then && then > 0)
        return Repair::kImproved;
    return now > 0 && then * threshold::kRepairFactor <= now ? Repair::kWorse : Repair::kUnchanged;
}

class Verifier {
public:
    Verifier(const Verdict& verdict, const Facts& facts, const View& view)
        : x_verdict(verdict), x_facts(facts), x_view(view) {
        for (const Finding& finding : verdict.findings)
            x_after.push_back(sighting_of(finding, verdict.names));
        x_taken.resize(x_after.size());
    }

    Verification run(const Earlier& before) {
        Verification out{.from = before.from, .to = before.to};
        for (const Sighting& sighting : before.findings) {
            Verified one{.before = sighting, .after = find_same(sighting, x_after, x_taken)};
            if (one.after)
                x_taken[*one.after] = true;
            out.findings.push_back(std::move(one));
        }
        for (Verified& one : out.findings) {
            if (one.after)
                one.repair = compare(one.before, x_after[*one.after]);
            else
                judge_absent(one);
            note(one, out);
        }
        for (std::size_t i = 0; i < x_after.size(); i++)
            if (!x_taken[i]) {
                out.fresh.push_back(i);
                out.any_left = out.any_left || is_grave(x_after[i].severity);
            }
        return out;
    }

private:
    void note(const Verified& one, Verification& out) const {
        const bool open = one.repair == Repair::kNotExercised || one.repair == Repair::kNotChecked;
        const bool there = one.after && is_grave(x_after[*one.after].severity);
        out.any_open = out.any_open || (open && is_grave(one.before.severity));
        out.any_left = out.any_left || there ||
                       (one.repair == Repair::kUnchanged && is_grave(one.before.severity));
    }

    void judge_absent(Verified& one) const {
        if (const Sighting* other = told_as(one.before, x_after, x_taken)) {
            one.repair = Repair::kUnchanged;
            one.why = fmt::format("the trouble there is told as {} now", other->id);
            return;
        }
        one.why = why_not_checked(one.before);
        one.repair = Repair::kNotChecked;
        if (!one.why.empty())
            return;
        one.why = why_not_exercised(one);
        one.repair = one.why.empty() ? Repair::kFixed : Repair::kNotExercised;
    }

    std::string why_not_checked(const Sighting& before) const {
        for (const LayerVerdict& layer : x_verdict.layers)
            if (layer.layer == before.layer && layer.status == LayerStatus::kUnknown)
                return fmt::format("this run could not check the {} layer",
                                   kLayerNames[static_cast<std::size_t>(layer.layer)]);
        return {};
    }

    /// Its number today; nothing when it is gone.
    std::optional<std::uint32_t> find_netns(const Sighting& before) const {
        for (const auto& [inum, name] : x_facts.total.names.netns)
            if (!before.netns_name.empty() && name == before.netns_name)
                return inum;
        const std::uint32_t inum = before.where.netns;
        if (!inum || x_facts.total.counters.contains(inum))
            return inum;
        return std::nullopt;
    }

    std::string why_not_exercised(Verified& one) const {
        const auto netns = find_netns(one.before);
        if (!netns)
            return "its network namespace is gone, or was idle";
        const Traffic& was = one.before.traffic;
        Where where = one.before.where;
        where.netns = *netns;
        const Traffic now = traffic_at(where, was.scope, x_facts);
        one.load_per_s = now.load();
        if (now.scope == TrafficScope::kEnd)
            return now.works()           ? ""
                   : now.tries_per_s > 0 ? "somebody tried to get there, and nothing came about"
                                         : "no connection to there was seen";
        if (x_view.partial || (x_view.netns && x_view.netns != *netns))
            return "the filters of this run may hide it";
        const double enough = was.packets_per_s * threshold::kRepairTraffic;
        if (now.packets_per_s > 0 && now.packets_per_s >= enough)
            return {};
        return fmt::format("{:.3g} packets per second there, {:.3g} before", now.packets_per_s,
                           was.packets_per_s);
    }

    const Verdict& x_verdict;
    const Facts& x_facts;
    const View& x_view;
    std::vector<Sighting> x_after;
    std::vector<bool> x_taken;
};

} // namespace

Sighting sighting_of(const Finding& finding, const Names& names) {
    Sighting sighting{.id = finding.id,
                      .title = finding.title,
                      .severity = finding.severity,
                      .layer = finding.layer,
                      .count = finding.count,
                      .rate_per_s = finding.rate_per_s,
                      .where = finding.where,
                      .traffic = finding.traffic};
    if (finding.culprit && finding.culprit->owner.tgid)
        sighting.comm = latest_comm(finding.culprit->owner, names);
    if (const auto name = names.netns.find(finding.where.netns); name != names.netns.end())
        sighting.netns_name = name->second;
    return sighting;
}

Verification verify(const Earlier& before, const Verdict& after, const Facts& facts,
                    const View& view) {
    return Verifier(after, facts, view).run(before);
}

} // namespace culprit
