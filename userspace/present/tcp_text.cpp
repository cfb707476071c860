// SPDX-License-Identifier: MIT
// TCP figures for people: what is yellow or red carries its mark in words too.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "model/format.h"
#include "present/layout.h"
#include "present/tcp.h"
#include "util/text.h"

namespace culprit {

namespace {

std::string figure_text(const Figure& figure, const Style& style) {
    std::string name(figure.id);
    std::ranges::replace(name, '_', ' ');
    const double value = finite(figure.value);
    const bool whole = figure.unit.empty() || value >= 100 || value == std::floor(value);
    std::string text =
        whole ? fmt::format("{} {:.0f}", name, value) : fmt::format("{} {:.2g}", name, value);
    if (!figure.unit.empty())
        text += fmt::format(" {}", figure.unit);
    if (figure.mark < Grade::kYellow)
        return text;
    text += fmt::format(" [{}]", kGradeNames[static_cast<std::size_t>(figure.mark)]);
    return paint(text, figure.mark == Grade::kRed ? Paint::kRed : Paint::kYellow, style.color);
}

template <typename Wanted>
std::string figures_text(const std::vector<Figure>& figures, const Wanted& wanted,
                         const Style& style) {
    std::vector<std::string> texts;
    for (const Figure& figure : figures)
        if (wanted(figure))
            texts.push_back(figure_text(figure, style));
    return join(texts, ", ");
}

bool stands_out(const Figure& figure) {
    return figure.mark >= Grade::kYellow;
}

std::string name_of(const TcpService& service, const Names& names) {
    const bool server = service.role == ABI_ROLE_SERVER;
    const std::string host = service.address.empty() ? "*" : service.address;
    const std::string end = host.find(':') == std::string::npos
                                ? fmt::format("{}:{}", host, service.port)
                                : fmt::format("[{}]:{}", host, service.port);
    std::string who = owner_name(service.owner, names);
    std::string text = server ? who + " serves " + end : who + " uses " + end;
    return text + ", netns " + netns_name(service.netns, names);
}

std::string service_text(const TcpService& service, const Names& names, const Style& style) {
    std::string out =
        '\n' + wrap("  ", paint(safe_once(name_of(service, names)), Paint::kBold, style.color), 4,
                    style.width);
    for (const Phase phase :
         {Phase::kHandshake, Phase::kTransfer, Phase::kCongestion, Phase::kTeardown}) {
        const std::string text = figures_text(
            service.figures, [&](const Figure& figure) { return figure.phase == phase; }, style);
        if (!text.empty())
            out +=
                wrap(pad(fmt::format("    {}", kPhaseNames[static_cast<std::size_t>(phase)]), 16),
                     text, 16, style.width);
    }
    for (const TcpPeer& peer : service.peers) {
        const std::string name = peer.address.empty() ? "others" : peer.address;
        const auto of_peers = [](const Figure& figure) {
            return figure.phase == Phase::kCongestion || stands_out(figure);
        };
        if (const std::string text = figures_text(peer.figures, of_peers, style); !text.empty())
            out += wrap(fmt::format("    peer {}: ", safe_once(name)), text, 16, style.width);
    }
    if (service.peers_left_out)
        out += fmt::format("    and {} more\n", amount(service.peers_left_out, "peer"));
    return out;
}

} // namespace

std::string tcp_summary(const std::vector<TcpService>& services, const Names& names,
                        std::size_t limit, const Style& style) {
    if (services.empty())
        return {};
    std::string out = '\n' + paint("TCP SERVICES", Paint::kBold, style.color) + '\n';
    std::size_t shown = 0, bad = 0;
    for (const TcpService& service : services) {
        if (service.worst < Grade::kYellow)
            continue;
        if (++bad > limit)
            continue;
        shown++;
        out += wrap("  - ",
                    safe_once(name_of(service, names)) + ": " +
                        figures_text(service.figures, stands_out, style),
                    4, style.width);
    }
    if (bad > shown)
        out += fmt::format("  and {} more\n", bad - shown);
    return out + wrap("  ",
                      fmt::format("{} of {} without a yellow or red figure (culprit show tcp)",
                                  services.size() - bad, services.size()),
                      2, style.width);
}

std::string tcp_text(const std::vector<TcpService>& services, const Names& names, std::size_t limit,
                     const Style& style) {
    std::string out = paint("TCP SERVICES", Paint::kBold, style.color) + '\n';
    if (services.empty())
        return out + "  none seen\n";
    for (std::size_t i = 0; i < std::min(limit, services.size()); i++)
        out += service_text(services[i], names, style);
    if (services.size() > limit)
        out += fmt::format("  and {} more (--limit)\n", services.size() - limit);
    return out;
}

} // namespace culprit
