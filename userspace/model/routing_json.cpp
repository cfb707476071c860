// SPDX-License-Identifier: MIT
// One object per namespace; a prefix is its bytes.
#include "model/routing_json.h"

#include "model/record_json.h"

namespace culprit {

namespace {

using Json = nlohmann::ordered_json;

Json settings_json(const DeviceRouting& settings) {
    return {settings.forwarding, settings.rp_filter};
}

DeviceRouting settings_from(const Json& from) {
    return {exact_number<std::uint32_t>(from.at(0)), exact_number<std::uint32_t>(from.at(1))};
}

Json refusal_json(const Refusal& refusal) {
    return {{"family", refusal.family}, {"length", refusal.length}, {"type", refusal.type},
            {"rule", refusal.rule},     {"table", refusal.table},   {"prefix", refusal.prefix}};
}

Refusal refusal_from(const Json& from) {
    Refusal refusal{.family = exact_number<std::uint8_t>(from.at("family")),
                    .length = exact_number<std::uint8_t>(from.at("length")),
                    .type = exact_number<std::uint8_t>(from.at("type")),
                    .rule = from.at("rule").get<bool>(),
                    .table = exact_number<std::uint32_t>(from.at("table"))};
    for (std::size_t i = 0; i < refusal.prefix.size(); i++)
        refusal.prefix[i] = exact_number<std::uint8_t>(from.at("prefix").at(i));
    return refusal;
}

} // namespace

Json routing_json(std::uint32_t netns, const Routing& routing) {
    Json out = {{"netns", netns},
                {"all", settings_json(routing.all)},
                {"forwarding6", routing.forwarding6},
                {"more", routing.more},
                {"devices", Json::array()},
                {"refusals", Json::array()}};
    for (const auto& [ifindex, settings] : routing.devices)
        out["devices"].push_back({ifindex, settings.forwarding, settings.rp_filter});
    for (const Refusal& refusal : routing.refusals)
        out["refusals"].push_back(refusal_json(refusal));
    return out;
}

std::pair<std::uint32_t, Routing> routing_from(const Json& from) {
    Routing routing{.all = settings_from(from.at("all")),
                    .forwarding6 = exact_number<std::uint32_t>(from.at("forwarding6")),
                    .more = from.at("more").get<bool>()};
    for (const Json& device : from.at("devices"))
        routing.devices[exact_number<std::uint32_t>(device.at(0))] = {
            exact_number<std::uint32_t>(device.at(1)), exact_number<std::uint32_t>(device.at(2))};
    for (const Json& refusal : from.at("refusals"))
        routing.refusals.push_back(refusal_from(refusal));
    return {exact_number<std::uint32_t>(from.at("netns")), std::move(routing)};
}

} // namespace culprit
