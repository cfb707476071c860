// SPDX-License-Identifier: MIT
// Reads the file that --verify names, and knows windows from a verdict by the first bytes.
#include "app/verify.h"

#include <fstream>

#include <fmt/format.h>

#include "model/owner_fill.h"
#include "model/window_json.h"
#include "present/present.h"
#include "util/text.h"
#include "util/time.h"

namespace culprit {

namespace {

constexpr std::size_t kVerdictMax = 32 << 20;

Result<Earlier> judge_windows(const std::string& path) {
    const auto run = replay(path);
    if (!run)
        return std::unexpected(run.error());
    const Verdict verdict = judge(input_of(*run));
    const auto wall = [&](std::uint64_t boot_ns) {
        return rfc3339(static_cast<std::int64_t>(boot_ns) + verdict.wall_offset_ns);
    };
    Earlier earlier{.from = wall(verdict.from_ns),
                    .to = wall(verdict.to_ns),
                    .length_ns = verdict.to_ns - verdict.from_ns};
    for (const Finding& finding : verdict.findings)
        earlier.findings.push_back(sighting_of(finding, verdict.names));
    return earlier;
}

Result<Earlier> read_file_of(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file)
        return std::unexpected(sys_error(errno, "read " + safe_text(path)));
    constexpr std::size_t kHead = 64;
    std::string text(kHead, '\0');
    const auto read_more = [&](std::size_t from) {
        file.read(text.data() + from, static_cast<std::streamsize>(text.size() - from));
        text.resize(from + static_cast<std::size_t>(file.gcount()));
    };
    read_more(0);
    if (text.find("culprit.window/") != std::string::npos)
        return judge_windows(path);
    if (text.size() == kHead) {
        text.resize(kVerdictMax + 1);
        read_more(kHead);
    }
    if (file.bad() || text.empty())
        return fail(Code::kFailed, safe_text(path) + " is empty, or cannot be read");
    if (text.size() > kVerdictMax)
        return fail(Code::kFailed, safe_text(path) + " is larger than any verdict");
    auto earlier = earlier_from_json(text);
    return earlier ? earlier : std::unexpected(earlier.error().in(safe_text(path)));
}

/// False at the end. A line longer than any window is cut, so that it does not parse.
bool read_line(std::istream& file, std::string& line) {
    constexpr std::size_t kLineMax = 1 << 30;
    line.clear();
    std::string chunk(1 << 16, '\0');
    while (file.getline(chunk.data(), static_cast<std::streamsize>(chunk.size())) ||
           file.gcount() > 0) {
        const bool whole = bool(file);
        const auto got = static_cast<std::size_t>(file.gcount());
        line.append(chunk, 0, whole && !file.eof() ? got - 1 : got); // without its newline
        if (whole || file.eof() || line.size() > kLineMax)
            return true;
        file.clear();
    }
    return false;
}

} // namespace

Result<Run> replay(const std::string& path) {
    std::ifstream file(path);
    if (!file)
        return std::unexpected(sys_error(errno, "read " + safe_text(path)));
    Run run;
    std::optional<RunInfo> info;
    std::string line;
    for (std::size_t number = 1; read_line(file, line); number++) {
        auto window = window_from_json(line, &info);
        if (!window)
            return std::unexpected(
                window.error().in(fmt::format("{} line {}", safe_text(path), number)));
        run.history.add(std::move(*window));
    }
    if (run.history.windows().empty())
        return fail(Code::kFailed, safe_text(path) + " has no windows");
    if (info)
        run.info = std::move(*info);
    else
        run.info.gaps.emplace_back(
            "the file does not tell which signals were on when it was saved");
    return run;
}

VerdictInput input_of(const Run& run) {
    Window total = run.history.total();
    fill_unknown_owners(total);
    return {.facts = {std::move(total), run.history.windows()},
            .status = run.info.status,
            .filtered = run.info.filtered,
            .gaps = run.info.gaps};
}

Result<Earlier> read_earlier(const std::string& path, const std::string& only) {
    auto earlier = read_file_of(path);
    if (earlier && !only.empty())
        std::erase_if(earlier->findings,
                      [&](const Sighting& sighting) { return sighting.id != only; });
    return earlier;
}

View view_of(const Options& options, const Facts& facts) {
    View view{.partial = options.filters.partial()};
    const std::string& wanted = options.filters.netns;
    const auto number = to_number(wanted);
    if (number)
        view.netns = static_cast<std::uint32_t>(*number);
    else if (!wanted.empty())
        for (const auto& [inum, name] : facts.total.names.netns)
            if (name == wanted)
                view.netns = inum;
    return view;
}

} // namespace culprit
