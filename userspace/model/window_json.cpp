// SPDX-License-Identifier: MIT
// Reads what may come from anybody: every shape is checked, every damage is one error line.
#include "model/window_json.h"

#include <algorithm>
#include <charconv>

#include <nlohmann/json.hpp>

#include "model/record_json.h"
#include "model/routing_json.h"
#include "util/text.h"

namespace culprit {

namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kSchema = "culprit.window/1";

Json rows_json(const Table& table) {
    Json rows = Json::array();
    for (std::size_t i = 0; i < table.size(); i++) {
        const RowInfo& info = table.info(i);
        Json row = {{"count", info.count},
                    {"when_ns", head_of(table.record(i)).when_ns},
                    {"cpu", head_of(table.record(i)).cpu},
                    {"first_ns", info.first_ns},
                    {"last_ns", info.last_ns}};
        record_to_raw_json(table.kind(), table.record(i), row);
        rows.push_back(std::move(row));
    }
    return rows;
}

Json names_json(const Names& names) {
    Json out = {{"drop_reasons", Json::array()}, {"reset_reasons", Json::array()},
                {"symbols", Json::array()},      {"devices", Json::array()},
                {"sources", Json::array()},      {"netns", Json::array()},
                {"processes", Json::array()},    {"cgroups", Json::array()},
                {"addresses", Json::array()},    {"routing", Json::array()}};
    for (const auto& [number, name] : names.drop_reasons)
        out["drop_reasons"].push_back({number, safe_text(name)});
    for (const auto& [number, name] : names.reset_reasons)
        out["reset_reasons"].push_back({number, safe_text(name)});
    for (const auto& [number, name] : names.symbols)
        out["symbols"].push_back({number, safe_text(name)});
    for (const auto& [number, name] : names.sources)
        out["sources"].push_back({number, safe_text(name)});
    for (const auto& [key, name] : names.devices)
        out["devices"].push_back({key.first, key.second, safe_text(name)});
    for (const auto& [number, name] : names.netns)
        out["netns"].push_back({number, safe_text(name)});
    for (const auto& [key, process] : names.processes)
        out["processes"].push_back({key.first, key.second, safe_text(process.comm),
                                    safe_text(process.exe), safe_text(process.cmdline),
                                    safe_text(process.cgroup), process.exited});
    for (const auto& [id, path] : names.cgroups)
        out["cgroups"].push_back({id, safe_text(path)});
    for (const auto& [number, addresses] : names.addresses)
        for (const std::string& address : addresses)
            out["addresses"].push_back({number, safe_text(address)});
    for (const auto& [number, routing] : names.routing)
        out["routing"].push_back(routing_json(number, routing));
    return out;
}

std::string name_from(const Json& json) {
    const auto bytes = raw_bytes(json.get<std::string>());
    if (!bytes)
        throw std::invalid_argument("a name is damaged");
    return *bytes;
}

template <typename Map>
void numbered_names(const Json& from, Map& into) {
    for (const Json& entry : from)
        into[exact_number<typename Map::key_type>(entry.at(0))] = name_from(entry.at(1));
}

Names names_from(const Json& from) {
    Names names;
    numbered_names(from.at("drop_reasons"), names.drop_reasons);
    numbered_names(from.at("reset_reasons"), names.reset_reasons);
    numbered_names(from.at("symbols"), names.symbols);
    numbered_names(from.at("netns"), names.netns);
    for (const Json& entry : from.at("devices"))
        names.devices[{exact_number<std::uint32_t>(entry.at(0)),
                       exact_number<std::uint32_t>(entry.at(1))}] = name_from(entry.at(2));
    for (const Json& entry : from.at("processes"))
        names.processes[{exact_number<std::uint32_t>(entry.at(0)),
                         exact_number<std::uint64_t>(entry.at(1))}] = {
            .comm = name_from(entry.at(2)),
            .exe = name_from(entry.at(3)),
            .cmdline = name_from(entry.at(4)),
            .cgroup = name_from(entry.at(5)),
            .exited = entry.at(6).get<bool>()};
    numbered_names(from.at("cgroups"), names.cgroups);
    // recordings may be older than these names
    numbered_names(from.value("sources", Json::array()), names.sources);
    for (const Json& entry : from.value("addresses", Json::array()))
        names.addresses[exact_number<std::uint32_t>(entry.at(0))].insert(name_from(entry.at(1)));
    for (const Json& entry : from.value("routing", Json::array()))
        names.routing.insert(routing_from(entry));
    return names;
}

constexpr std::string_view kStates[] = {"on", "degraded", "off"};
constexpr std::size_t kRunListMax = 4096; // entries of each list of a run

Json safe_list(const std::vector<std::string>& texts) {
    Json out = Json::array();
    for (const std::string& text : texts)
        out.push_back(safe_text(text));
    return out;
}

std::vector<std::string> list_from(const Json& from) {
    std::vector<std::string> out;
    for (const Json& text : from)
        if (out.size() < kRunListMax)
            out.push_back(name_from(text));
    return out;
}

Json run_json(const RunInfo& run) {
    Json signals = Json::array();
    for (const SignalStatus& one : run.status)
        signals.push_back({{"name", one.name},
                           {"state", kStates[static_cast<std::size_t>(one.state)]},
                           {"why", safe_list(one.why)},
                           {"unread", safe_list(one.unread)}});
    return {{"host", safe_text(run.host)},
            {"kernel", safe_text(run.kernel)},
            {"filtered", run.filtered},
            {"signals", std::move(signals)},
            {"gaps", safe_list(run.gaps)}};
}

RunInfo run_from(const Json& from) {
    RunInfo run{.host = name_from(from.at("host")),
                .kernel = name_from(from.at("kernel")),
                .filtered = from.at("filtered").get<bool>(),
                .gaps = list_from(from.at("gaps"))};
    for (const Json& signal : from.at("signals")) {
        const auto state = std::ranges::find(kStates, signal.at("state").get<std::string>());
        if (state == std::end(kStates) || run.status.size() >= kRunListMax)
            throw std::invalid_argument("a signal is in no known state");
        run.status.push_back({.name = name_from(signal.at("name")),
                              .state = static_cast<State>(state - kStates),
                              .why = list_from(signal.at("why")),
                              .unread = list_from(signal.at("unread"))});
    }
    return run;
}

Result<void> read_table(const std::string& name, const Json& rows, Window& window) {
    const Kind* kind = find_kind(std::string_view(name));
    if (!kind)
        return fail(Code::kFailed, "there is no kind of record named " + safe_text(name));
    Table& table = window.tables.try_emplace(kind->id, *kind).first->second;
    for (const Json& row : rows) {
        auto record = record_from_raw_json(*kind, row);
        if (!record)
            return std::unexpected(record.error());
        abi_head head = head_of(*record);
        head.when_ns = exact_number<std::uint64_t>(row.at("when_ns"));
        head.cpu = exact_number<std::uint16_t>(row.at("cpu"));
        std::memcpy(record->data(), &head, sizeof(head));
        table.fold(*record, {exact_number<std::uint64_t>(row.at("count")),
                             exact_number<std::uint64_t>(row.at("first_ns")),
                             exact_number<std::uint64_t>(row.at("last_ns"))});
    }
    return {};
}

NetnsCounters counters_from(const Json& from) {
    NetnsCounters counters;
    counters.error = name_from(from.at("error"));
    for (const auto& [name, value] : from.at("growth").items())
        if (const auto index = find_counter(name))
            counters.growth[*index] = exact_number<std::uint64_t>(value);
    for (const auto& [name, value] : from.at("gauges").items())
        if (const auto index = find_gauge(name))
            counters.gauges.set(*index, exact_number<std::uint64_t>(value));
    return counters;
}

Lost lost_from(const Json& from) {
    const auto at = [&](const char* name) { return exact_number<std::uint64_t>(from.at(name)); };
    return {at("ring_full"), at("map_full"), at("limited"),
            at("seen"),      at("filtered"), at("folded")};
}

Result<Window> parse(std::string_view text, std::optional<RunInfo>* run) {
    const Json json = Json::parse(text);
    if (json.at("schema") != kSchema)
        return fail(Code::kFailed, std::string("not a ") + kSchema + " document");
    Window window;
    window.from_ns = exact_number<std::uint64_t>(json.at("from_ns"));
    window.to_ns = exact_number<std::uint64_t>(json.at("to_ns"));
    json.at("wall_offset_ns").get_to(window.wall_offset_ns);
    for (const auto& [name, rows] : json.at("tables").items())
        if (const auto done = read_table(name, rows, window); !done)
            return std::unexpected(done.error());
    for (const Json& entry : json.at("counters"))
        window.counters[exact_number<std::uint32_t>(entry.at("netns"))] = counters_from(entry);
    for (const auto& [name, lost] : json.at("lost").items())
        if (const Kind* kind = find_kind(std::string_view(name)))
            window.lost[kind->id] = lost_from(lost);
    window.names = names_from(json.at("names"));
    if (run && json.contains("run"))
        *run = run_from(json.at("run"));
    return window;
}

} // namespace

std::string window_to_json(const Window& window, const RunInfo* run) {
    Json json = {{"schema", kSchema},        {"from_ns", window.from_ns},
                 {"to_ns", window.to_ns},    {"wall_offset_ns", window.wall_offset_ns},
                 {"tables", Json::object()}, {"counters", Json::array()},
                 {"lost", Json::object()},   {"names", names_json(window.names)}};
    for (const auto& [id, table] : window.tables)
        json["tables"][table.kind().name] = rows_json(table);
    for (const auto& [netns, counters] : window.counters) {
        Json growth = Json::object();
        for (std::size_t i = 0; i < kCounterNames.size(); i++)
            if (counters.growth[i])
                growth[std::string(kCounterNames[i])] = counters.growth[i];
        Json gauges = Json::object();
        for (std::size_t i = 0; i < kGaugeNames.size(); i++)
            if (const auto value = counters.gauges.at(i))
                gauges[std::string(kGaugeNames[i])] = *value;
        json["counters"].push_back({{"netns", netns},
                                    {"error", safe_text(counters.error)},
                                    {"growth", growth},
                                    {"gauges", gauges}});
    }
    for (const auto& [id, lost] : window.lost)
        if (const Kind* kind = find_kind(id))
            json["lost"][kind->name] = {{"ring_full", lost.ring_full}, {"map_full", lost.map_full},
                                        {"limited", lost.limited},     {"seen", lost.seen},
                                        {"filtered", lost.filtered},   {"folded", lost.folded}};
    if (run)
        json["run"] = run_json(*run);
    return json.dump();
}

Result<Window> window_from_json(std::string_view text, std::optional<RunInfo>* run) {
    try {
        return parse(text, run);
    } catch (const std::exception& e) {
        return fail(Code::kFailed, std::string("the window is damaged: ") + safe_text(e.what()));
    }
}

} // namespace culprit
