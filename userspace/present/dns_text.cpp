// SPDX-License-Identifier: MIT
// Name resolution for people: a paragraph for each process and server, trouble in red.
#include <algorithm>

#include <fmt/format.h>

#include "model/format.h"
#include "present/dns.h"
#include "present/layout.h"
#include "util/dns.h"
#include "util/text.h"

namespace culprit {

namespace {

constexpr std::size_t kIndent = 15;

struct Page {
    const Names& names;
    const Style& style;
    double seconds = 0;

    std::string line(std::string_view name, const std::string& text) const {
        return text.empty()
                   ? ""
                   : wrap(pad(fmt::format("    {}", name), kIndent), text, kIndent, style.width);
    }
};

std::string span(double ns) {
    return duration(static_cast<std::uint64_t>(ns));
}

/// "NAME COUNT" of those that are not 0.
struct Count {
    std::string_view name;
    std::uint64_t count;
};

std::string counts_text(std::initializer_list<Count> counts) {
    std::vector<std::string> parts;
    for (const auto& [name, count] : counts)
        if (count)
            parts.push_back(fmt::format("{} {}", name, count));
    return join(parts, ", ");
}

std::string codes_text(const DnsFigures& figures) {
    const dns_counts& counts = figures.counts;
    return counts_text({{"NOERROR", counts.no_error},
                        {"NXDOMAIN", counts.nxdomain},
                        {"SERVFAIL", counts.servfail},
                        {"REFUSED", counts.refused},
                        {"other codes", figures.other_codes()},
                        {"without a record", counts.empty},
                        {"truncated", counts.truncated}});
}

std::string trouble_text(const DnsFigures& figures) {
    return counts_text({{"timeouts", figures.counts.silent},
                        {"errors", figures.counts.failed},
                        {"asked again", figures.counts.retries},
                        {"late answers", figures.counts.late},
                        {"not looked at", figures.counts.unread}});
}

std::string latency_text(const DnsFigures& figures) {
    return figures.counts.latency_ns
               ? fmt::format("p50 {}, p99 {}, longest {}", span(figures.quantile_ns(0.5)),
                             span(figures.quantile_ns(0.99)),
                             duration(figures.counts.latency_max_ns))
               : "";
}

std::string rate_text(const DnsFigures& figures, double seconds) {
    std::string text =
        fmt::format("{}, {:.1f} per second, {}", amount(figures.counts.questions, "question"),
                    static_cast<double>(figures.counts.questions) / seconds,
                    amount(figures.counts.answers, "answer"));
    return figures.by_tcp ? text + fmt::format(", {} by TCP", figures.by_tcp) : text;
}

std::string figures_text(const DnsFigures& figures, const Page& page) {
    std::string out = page.line("rate", rate_text(figures, page.seconds));
    out += page.line("latency", latency_text(figures));
    out += page.line("answers", codes_text(figures));
    return out + page.line("trouble", paint(trouble_text(figures),
                                            figures.trouble() ? Paint::kRed : Paint::kYellow,
                                            page.style.color));
}

std::string types_text(const std::vector<DnsFigures>& types) {
    std::vector<std::string> parts;
    for (const DnsFigures& one : types) {
        std::string text = fmt::format("{} {}", dns_type(one.type), one.counts.questions);
        if (one.counts.latency_ns)
            text += fmt::format(" (p50 {}, p99 {})", span(one.quantile_ns(0.5)),
                                span(one.quantile_ns(0.99)));
        parts.push_back(std::move(text));
    }
    return join(parts, ", ");
}

/// Either a DnsClient or a DnsServer.
template <typename One>
std::string heading(const One& one, const std::string& does, const Page& page) {
    const std::string text = fmt::format("{} {}, netns {}", owner_name(one.owner, page.names), does,
                                         netns_name(one.netns, page.names));
    return '\n' +
           wrap("  ", paint(safe_once(text), Paint::kBold, page.style.color), 4, page.style.width);
}

std::string client_text(const DnsClient& client, const Page& page) {
    return heading(client, "asks " + client.server, page) + figures_text(client.sum, page) +
           page.line("types", types_text(client.types));
}

std::string server_text(const DnsServer& server, const Page& page) {
    std::string out =
        heading(server, "answers on " + server.address, page) + figures_text(server.sum, page);
    if (const auto hits = server.cache_hit_ratio())
        out += page.line(
            "cache", fmt::format("{:.1f} % of the questions need no other server", 100 * *hits));
    for (const DnsClient& upstream : server.upstreams) {
        std::vector<std::string> parts = {rate_text(upstream.sum, page.seconds)};
        for (const std::string& text : {latency_text(upstream.sum), trouble_text(upstream.sum)})
            if (!text.empty())
                parts.push_back(text);
        out += page.line("asks", safe_once(upstream.server) + ": " + join(parts, "; "));
    }
    return out;
}

template <typename One, typename ToText>
std::string list(const std::vector<One>& all, std::size_t left_out, std::size_t limit,
                 const ToText& to_text) {
    std::string out;
    const std::size_t shown = std::min(limit, all.size());
    for (std::size_t i = 0; i < shown; i++)
        out += to_text(all[i]);
    const std::size_t more = all.size() - shown + left_out;
    return more ? out + fmt::format("  and {} more (--limit)\n", more) : out;
}

} // namespace

std::vector<std::string> dns_notes(const Verdict& verdict) {
    std::vector<std::string> notes;
    for (const std::string& gap : verdict.incomplete)
        if (gap.find(" dns") != std::string::npos)
            notes.push_back(gap);
    return notes;
}

std::string dns_text(const Verdict& verdict, std::size_t limit, const Style& style) {
    const DnsServices& dns = verdict.dns;
    const Page page{verdict.names, style,
                    static_cast<double>(verdict.to_ns - verdict.from_ns) / 1e9};
    std::string out = paint("NAME RESOLUTION", Paint::kBold, style.color) + '\n';
    if (dns.clients.empty())
        out += "  nobody asked\n";
    out += list(dns.clients, dns.clients_left_out, limit,
                [&](const DnsClient& client) { return client_text(client, page); });
    if (!dns.servers.empty())
        out += '\n' + paint("NAME SERVERS HERE", Paint::kBold, style.color) + '\n' +
               list(dns.servers, dns.servers_left_out, limit,
                    [&](const DnsServer& server) { return server_text(server, page); });
    for (const std::string& note : dns_notes(verdict))
        out += wrap("  note: ", safe_once(note), 8, style.width);
    return out;
}

} // namespace culprit
