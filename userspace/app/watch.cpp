// SPDX-License-Identifier: MIT
// `culprit watch`: prints events as they come, and at the end what was shown, hidden, limited and
// lost.
#include <algorithm>

#include "app/commands.h"
#include "detect/benign.h"
#include "model/format.h"
#include "signals/note_names.h"
#include "util/log.h"
#include "util/time.h"

namespace culprit {

namespace {

constexpr int kTickMs = 200; // the reader's timer: how late a lone event may be

class Watch {
public:
    Watch(const Options& options, Session& session)
        : x_options(options), x_session(session), x_names(session.features),
          x_style(style_of(options)) {}

    Result<void> run();

private:
    void show(std::span<const std::byte> record);
    WatchSummary summary(double seconds) const;

    const Options& x_options;
    Session& x_session;
    LiveNames x_names;
    Style x_style;
    std::int64_t x_wall_offset_ns = wall_offset_ns(); // sampled anew at each tick: clocks are set
    bool x_reader_gone = false;
    std::map<std::uint32_t, std::uint64_t> x_shown, x_hidden;
};

void Watch::show(std::span<const std::byte> record) {
    const Kind& kind = *find_kind(head_of(record).kind);
    for (const Field& field : kind.fields)
        note_names(field, record, x_names, nullptr);
    if (!x_options.all && is_normal_life(kind, record, x_names.all())) {
        x_hidden[kind.id]++;
        return;
    }
    x_shown[kind.id]++;
    const std::string line =
        x_options.json() ? event_json(kind, record, x_names.all(), x_wall_offset_ns)
                         : event_text(kind, record, x_names.all(), x_wall_offset_ns, x_style);
    x_reader_gone = x_reader_gone || !print_data(line);
}

WatchSummary Watch::summary(double seconds) const {
    WatchSummary out;
    out.seconds = seconds;
    for (const auto& [id, ledger] : x_session.capture.ledgers()) {
        if (!ledger.seen && !ledger.map_full)
            continue;
        const auto count = [id = id](const auto& map) { return map.contains(id) ? map.at(id) : 0; };
        out.lines.push_back(
            {find_kind(id)->name,
             count(x_shown),
             count(x_hidden),
             {ledger.ring_full, ledger.map_full, ledger.limited, ledger.seen, ledger.filtered}});
    }
    return out;
}

Result<void> Watch::run() {
    const std::uint64_t began = boot_now_ns();
    const std::uint64_t until = x_options.for_ns ? began + x_options.for_ns : UINT64_MAX;
    while (!stop_requested && !x_reader_gone) {
        const std::uint64_t now = boot_now_ns();
        const std::uint64_t left_ms = now < until ? (until - now) / 1'000'000 + 1 : 0;
        const auto done =
            x_session.capture.poll(static_cast<int>(std::min<std::uint64_t>(left_ms, kTickMs)),
                                   [this](std::span<const std::byte> record) { show(record); });
        if (!done)
            return std::unexpected(done.error());
        x_reader_gone = x_reader_gone || !flush_data();
        x_wall_offset_ns = wall_offset_ns();
        if (now >= until)
            break;
    }
    // what came between the last look and the signal
    if (const auto done =
            x_session.capture.poll(0, [this](std::span<const std::byte> record) { show(record); });
        !done)
        return std::unexpected(done.error());
    const WatchSummary out = summary(static_cast<double>(boot_now_ns() - began) / 1e9);
    if (x_options.json())
        print_data(summary_json(out));
    else
        std::fputs(summary_text(out).c_str(), stderr);
    return {};
}

} // namespace

int run_watch(const Options& options) {
    std::set<std::uint32_t> kinds;
    for (const std::string& name : options.kinds)
        kinds.insert(find_kind(std::string_view(name))->id);
    if (kinds.empty())
        kinds = all_event_kinds();
    auto session = start_session(options, kinds, true);
    if (!session)
        return print_error(session.error());
    for (const SignalStatus& status : session->capture.status())
        if (status.state == State::kOff)
            log(Level::kWarning, "signal " + status.name +
                                     " is off: " + (status.why.empty() ? "" : status.why.front()));
    confine_self();
    if (const auto done = Watch(options, *session).run(); !done)
        return print_error(done.error());
    return kExitHealthy;
}

} // namespace culprit
