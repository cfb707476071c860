// SPDX-License-Identifier: MIT
// Reads a verdict that may come from anybody: every shape is checked, every damage is one error
// line.
#include <algorithm>
#include <cmath>
#include <stdexcept>

#include <nlohmann/json.hpp>

#include "present/present.h"
#include "util/text.h"
#include "util/time.h"

namespace culprit {

namespace {

using Json = nlohmann::json;

constexpr const char* kSchema = "culprit.diagnosis/1";
constexpr std::size_t kFindingsMax = 4096, kTextMax = 4096;
constexpr int kDepthMax = 16;
constexpr std::int64_t kLongestNs = 24LL * 3600 * 1'000'000'000;

[[noreturn]] void refuse(const std::string& why) {
    throw std::invalid_argument(why);
}

/// Empty for null and for what an older version did not write.
std::string text_at(const Json& from, const char* key) {
    const Json value = from.value(key, Json());
    if (value.is_null())
        return {};
    std::string text = value.get<std::string>();
    if (text.size() > kTextMax)
        refuse(std::string(key) + " is too long");
    return raw_bytes(text).value_or(text);
}

double rate_at(const Json& from, const char* key) {
    const double rate = from.value(key, 0.0);
    if (!std::isfinite(rate) || rate < 0)
        refuse(std::string(key) + " is no rate");
    return rate;
}

std::uint64_t count_at(const Json& from, const char* key) {
    const Json value = from.value(key, Json());
    if (value.is_null())
        return 0;
    if (!value.is_number_unsigned())
        refuse(std::string(key) + " is no count");
    return value.get<std::uint64_t>();
}

template <typename Enum, std::size_t N>
Enum named(const char* const (&names)[N], const std::string& name) {
    const auto found = std::ranges::find(names, name);
    if (found == std::end(names))
        refuse("'" + safe_text(name.substr(0, 32)) + "' is not known here");
    return static_cast<Enum>(found - names);
}

Where where_from(const Json& from) {
    const std::uint64_t netns = count_at(from, "netns");
    if (netns > UINT32_MAX)
        refuse("netns is no inode number");
    return {.local = text_at(from, "local"),
            .remote = text_at(from, "remote"),
            .device = text_at(from, "device"),
            .kernel = text_at(from, "kernel"),
            .reason = text_at(from, "reason"),
            .netns = static_cast<std::uint32_t>(netns)};
}

Traffic traffic_from(const Json& from) {
    return {.scope = named<TrafficScope>(kTrafficScopeNames, text_at(from, "scope")),
            .tries_per_s = rate_at(from, "tries_per_s"),
            .connections_per_s = rate_at(from, "connections_per_s"),
            .packets_per_s = rate_at(from, "packets_per_s")};
}

Sighting sighting_from(const Json& from) {
    Sighting sighting{.id = text_at(from, "id"),
                      .title = text_at(from, "title"),
                      .severity = named<Severity>(kSeverityNames, text_at(from, "severity")),
                      .layer = named<Layer>(kLayerNames, text_at(from, "layer")),
                      .count = count_at(from, "count"),
                      .rate_per_s = rate_at(from, "rate_per_s"),
                      .where = where_from(from.at("where")),
                      .netns_name = text_at(from.at("where"), "netns_name")};
    if (const Json& culprit = from.at("culprit"); !culprit.is_null())
        sighting.comm = text_at(culprit, "comm");
    if (from.contains("traffic"))
        sighting.traffic = traffic_from(from.at("traffic"));
    return sighting;
}

Earlier earlier_from(const Json& json) {
    if (!json.is_object() || json.value("schema", "") != kSchema)
        refuse(std::string("not a ") + kSchema + " document");
    Earlier earlier{.from = text_at(json, "from"), .to = text_at(json, "to")};
    const auto from = parse_rfc3339(earlier.from), to = parse_rfc3339(earlier.to);
    if (!from || !to || *to <= *from || *to - *from > kLongestNs)
        refuse("its times are those of no run of at most a day");
    earlier.length_ns = static_cast<std::uint64_t>(*to - *from);
    const Json& findings = json.at("findings");
    if (!findings.is_array() || findings.size() > kFindingsMax)
        refuse("its findings are no list, or too many");
    for (const Json& finding : findings)
        earlier.findings.push_back(sighting_from(finding));
    return earlier;
}

} // namespace

Result<Earlier> earlier_from_json(std::string_view text) {
    try {
        return earlier_from(Json::parse(text, [](int depth, Json::parse_event_t, Json&) {
            if (depth > kDepthMax)
                refuse("nested too deeply");
            return true;
        }));
    } catch (const std::exception& e) {
        return fail(Code::kFailed, "no verdict to compare with: " +
                                       safe_text(std::string_view(e.what()).substr(0, 200)));
    }
}

} // namespace culprit
