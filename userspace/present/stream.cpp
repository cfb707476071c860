// SPDX-License-Identifier: MIT
// The lines of `watch` and its last words, made from the kinds' field tables alone.
#include <cstring>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "model/format.h"
#include "model/identity.h"
#include "model/record_json.h"
#include "present/layout.h"
#include "present/present.h"
#include "util/text.h"
#include "util/time.h"

namespace culprit {

namespace {

using Json = nlohmann::ordered_json;

std::string wall_time(std::span<const std::byte> record, std::int64_t wall_offset_ns) {
    const auto head = value_at<abi_head>(record, 0);
    return rfc3339(static_cast<std::int64_t>(head.when_ns) + wall_offset_ns);
}

std::string flow_text(const abi_flow& flow, const Names& names) {
    std::string text = fmt::format(" {} -> {}", endpoint(flow, true), endpoint(flow, false));
    if (flow.ifindex)
        text += " dev " + device(flow.netns, flow.ifindex, names);
    if (flow.netns)
        text += " netns " + netns_name(flow.netns, names);
    return text;
}

std::string owner_text(const abi_owner& owner, const Names& names) {
    return owner.tgid ? fmt::format(" {}/{}", safe_text(latest_comm(owner, names)), owner.tgid)
                      : " ?";
}

/// A line per frame, like the kernel's own.
std::string frames_text(const Field& field, std::span<const std::byte> record, const Names& names) {
    std::string text;
    for (const std::string& frame : stack_text(field, record, names))
        text += "\n    " + safe_once(frame);
    return text;
}

std::string value_text(const Field& field, std::span<const std::byte> record, const Names& names) {
    if (field.type == Type::kFlow)
        return flow_text(value_at<abi_flow>(record, field.offset), names);
    if (field.type == Type::kOwner)
        return owner_text(value_at<abi_owner>(record, field.offset), names);
    if (field.type == Type::kHistogram)
        return {}; // totals only
    if (field.type == Type::kStack)
        return frames_text(field, record, names);
    const std::string text = field_text(field, record, names);
    if (text.empty() || text == "-" || text == "0")
        return {};
    return fmt::format(" {}={}", field.name, safe_once(text));
}

Lost total_of(const WatchSummary& summary) {
    Lost total;
    for (const WatchSummary::Line& line : summary.lines) {
        total.ring_full += line.lost.ring_full;
        total.map_full += line.lost.map_full;
        total.limited += line.lost.limited;
    }
    return total;
}

} // namespace

std::string event_text(const Kind& kind, std::span<const std::byte> record, const Names& names,
                       std::int64_t wall_offset_ns, const Style& style) {
    std::string line = wall_time(record, wall_offset_ns).substr(11, 12) + ' ';
    line += paint(pad(kind.name, 10), Paint::kBold, style.color);
    for (const Field& field : kind.fields)
        line += value_text(field, record, names);
    return line + '\n';
}

std::string event_json(const Kind& kind, std::span<const std::byte> record, const Names& names,
                       std::int64_t wall_offset_ns) {
    Json out;
    out["time"] = wall_time(record, wall_offset_ns);
    out["kind"] = kind.name;
    record_to_json(kind, record, names, out);
    return out.dump(-1, ' ', false, Json::error_handler_t::replace) + '\n';
}

std::string summary_text(const WatchSummary& summary) {
    std::string out = fmt::format("watched for {:.1f} s\n", finite(summary.seconds));
    if (!summary.lines.empty())
        out += fmt::format("  {:<14}{:>12}{:>12}{:>12}{:>14}{:>12}\n", "kind", "shown", "hidden",
                           "lost", "rate limited", "filtered");
    for (const WatchSummary::Line& line : summary.lines)
        out += fmt::format("  {:<14}{:>12}{:>12}{:>12}{:>14}{:>12}\n", line.kind, line.shown,
                           line.hidden, line.lost.ring_full, line.lost.limited, line.lost.filtered);
    const Lost total = total_of(summary);
    if (total.ring_full)
        out += fmt::format("WARNING: lost {}, the ring had no room: the list is incomplete\n",
                           amount(total.ring_full, "event"));
    else
        out += "no event was lost\n";
    if (total.map_full)
        out += fmt::format("WARNING: a full kernel map refused {}: some events say less\n",
                           amount(total.map_full, "time"));
    if (total.limited)
        out += fmt::format("{} not sent, by rate limit\n", amount(total.limited, "event"));
    return out;
}

std::string summary_json(const WatchSummary& summary) {
    const Lost total = total_of(summary);
    Json kinds = Json::object();
    for (const WatchSummary::Line& line : summary.lines)
        kinds[line.kind] = {{"shown", line.shown},           {"hidden", line.hidden},
                            {"seen", line.lost.seen},        {"lost", line.lost.ring_full},
                            {"limited", line.lost.limited},  {"filtered", line.lost.filtered},
                            {"map_full", line.lost.map_full}};
    Json out;
    out["kind"] = "summary";
    out["seconds"] = finite(summary.seconds);
    out["lost"] = total.ring_full;
    out["limited"] = total.limited;
    out["kinds"] = std::move(kinds);
    return out.dump(-1, ' ', false, Json::error_handler_t::replace) + '\n';
}

} // namespace culprit
