// SPDX-License-Identifier: MIT
// The figures of a TCP service, the marks they get and why there.
#include "detect/tcp_services.h"

#include <algorithm>
#include <array>
#include <optional>

#include "detect/finding.h"
#include "detect/tcp_sums.h"
#include "model/format.h"

namespace culprit {

namespace {

using Value = std::optional<double>;

Value ratio(std::uint64_t part, std::uint64_t all, std::uint64_t at_least = 1) {
    if (all < std::max<std::uint64_t>(at_least, 1))
        return {};
    return 100 * double(part) / double(all);
}

Value mean(std::uint64_t sum, std::uint64_t count, double unit) {
    if (!count)
        return {};
    return double(sum) / double(count) / unit;
}

std::uint64_t less(std::uint64_t all, std::uint64_t part) {
    return all - std::min(all, part);
}

/// A share of a handful proves nothing.
constexpr std::uint64_t kFew = 20;
constexpr std::uint64_t kFewSegs = 100;

Value syn_response(const TcpSums& s) {
    return mean(s.syn_response_ns, s.attempts_ok, 1e6);
}
Value connect_success(const TcpSums& s) {
    return ratio(s.attempts_ok, s.attempts_ok + s.attempts_failed);
}
Value syn_again(const TcpSums& s) {
    return ratio(s.syn_retransmits, s.syn_retransmits + s.attempts_ok + s.attempts_failed, kFew);
}
Value accept_queue(const TcpSums& s) {
    return ratio(s.accept_depth, s.accept_limit);
}
Value syn_queue(const TcpSums& s) {
    return ratio(s.syn_depth, s.syn_limit);
}
Value sent_rate(const TcpSums& s) {
    return mean(s.flow.bytes_sent, s.flow.watched_ns, 1e-9);
}
Value received_rate(const TcpSums& s) {
    return mean(s.flow.bytes_received, s.flow.watched_ns, 1e-9);
}
Value connections(const TcpSums& s) {
    return s.flow.flows ? Value(double(s.flow.flows)) : Value();
}
Value network_share(const TcpSums& s) {
    return ratio(s.flow.busy_ns, s.flow.watched_ns);
}
Value receiver_share(const TcpSums& s) {
    return ratio(s.flow.rwnd_limited_ns, s.flow.watched_ns);
}
Value sndbuf_share(const TcpSums& s) {
    return ratio(s.flow.sndbuf_limited_ns, s.flow.watched_ns);
}
Value application_share(const TcpSums& s) {
    const std::uint64_t busy = s.flow.busy_ns + s.flow.rwnd_limited_ns + s.flow.sndbuf_limited_ns;
    return ratio(less(s.flow.watched_ns, busy), s.flow.watched_ns);
}
Value zero_window(const TcpSums& s) {
    return ratio(s.flow.zero_window, s.flow.sending);
}
Value closed_window(const TcpSums& s) {
    return ratio(s.flow.closed_window, s.flow.looks);
}
/// What may be in flight (the smaller window) against what the path holds at the rate it has now.
Value window_to_bdp(const TcpSums& s) {
    const Value rtt_ms = mean(s.flow.min_rtt_us, s.flow.rtt_looks, 1e3);
    const Value window = mean(std::min(s.flow.snd_wnd, s.flow.cwnd), s.flow.sending, 1);
    const Value rate = sent_rate(s);
    const double bdp = rate && rtt_ms ? *rate * *rtt_ms / 1e3 : 0;
    return window && bdp > 1 ? Value(*window / bdp) : Value();
}
Value round_trip(const TcpSums& s) {
    return mean(s.flow.srtt_us, s.flow.rtt_looks, 1e3);
}
Value round_trip_min(const TcpSums& s) {
    return mean(s.flow.min_rtt_us, s.flow.rtt_looks, 1e3);
}
Value round_trip_variation(const TcpSums& s) {
    return mean(s.flow.rttvar_us, s.flow.rtt_looks, 1e3);
}
Value queueing(const TcpSums& s) {
    return mean(less(s.flow.srtt_us, s.flow.min_rtt_us), s.flow.rtt_looks, 1e3);
}
Value retransmission(const TcpSums& s) {
    return ratio(s.again(), s.segs(), kFewSegs);
}
Value loss(const TcpSums& s) {
    return ratio(less(s.flow.retransmits, s.flow.spurious), s.flow.segs_out, kFewSegs);
}
Value timeout_share(const TcpSums& s) {
    return ratio(s.timeouts, s.fast + s.timeouts + s.probes, kFew);
}
Value fast_recoveries(const TcpSums& s) {
    return s.fast + s.timeouts + s.probes ? Value(double(s.fast)) : Value();
}
Value spurious(const TcpSums& s) {
    return s.flow.retransmits ? Value(double(s.flow.spurious)) : Value();
}
Value reordered(const TcpSums& s) {
    return s.flow.reordered || s.flow.out_of_order
               ? Value(double(s.flow.reordered + s.flow.out_of_order))
               : Value();
}
Value answer_time(const TcpSums& s) {
    return mean(s.flow.answer_ns, s.flow.answers, 1e6);
}
Value time_wait(const TcpSums& s) {
    return ratio(s.time_wait, s.sockets, kFew);
}
Value time_wait_reused(const TcpSums& s) {
    return s.time_wait_reused ? Value(double(s.time_wait_reused)) : Value();
}
Value reset_rate(const TcpSums& s) {
    return ratio(s.ended_reset, s.ended);
}
Value clean_shutdown(const TcpSums& s) {
    return ratio(s.ended_fin, s.ended);
}

constexpr double kNever = 1e9;

/// Bad is above the marks, or below them when yellow is above red. 0 and 0: no mark.
struct Rule {
    std::string_view id;
    Phase phase;
    std::string_view unit;
    Value (*value)(const TcpSums&);
    double yellow = 0, red = 0;
};

// Marks: "guide" is the operators' guide this tool follows; the others say why.
constexpr Rule kRules[] = {
    // guide: above 100 ms; a SYN that is sent again makes it 1 s (RFC 6298, section 2)
    {"syn_response", Phase::kHandshake, "ms", syn_response, 100, 1000},
    // one in a hundred is felt by somebody, one in ten by everybody
    {"connect_success", Phase::kHandshake, "%", connect_success, 99, 90},
    {"syn_retransmits", Phase::kHandshake, "%", syn_again, 1, 5},
    // of its limit: the next burst overflows it; it is full
    {"accept_queue", Phase::kHandshake, "%", accept_queue, 70, 100},
    {"syn_queue", Phase::kHandshake, "%", syn_queue, 70, 100},
    {"connections", Phase::kTransfer, "", connections},
    {"sent", Phase::kTransfer, "B/s per connection", sent_rate},
    {"received", Phase::kTransfer, "B/s per connection", received_rate},
    {"paced_by_application", Phase::kTransfer, "%", application_share},
    {"paced_by_network", Phase::kTransfer, "%", network_share},
    // a window or a buffer should not be what sets the pace
    {"paced_by_receiver", Phase::kTransfer, "%", receiver_share, 10, 50},
    {"paced_by_send_buffer", Phase::kTransfer, "%", sndbuf_share, 10, 50},
    {"zero_window", Phase::kTransfer, "%", zero_window, 5, 25},
    {"own_window_closed", Phase::kTransfer, "%", closed_window, 5, 25},
    {"window_to_bdp", Phase::kTransfer, "times", window_to_bdp},
    {"answer_time", Phase::kTransfer, "ms", answer_time},
    {"rtt", Phase::kCongestion, "ms", round_trip},
    {"rtt_min", Phase::kCongestion, "ms", round_trip_min},
    {"rtt_variation", Phase::kCongestion, "ms", round_trip_variation},
    // guide: 100 ms more than the path needs
    {"rtt_above_min", Phase::kCongestion, "ms", queueing, 50, 100},
    // guide: 8 % is red; RFC 6349 calls more than some percent broken; 1 % already halves a flow
    {"retransmission", Phase::kCongestion, "%", retransmission, 1, 8},
    // guide: 2.5 % is red
    {"loss", Phase::kCongestion, "%", loss, 1, 2.5},
    {"fast_retransmits", Phase::kCongestion, "", fast_recoveries},
    // found only by the timer: bursts or the ends of answers
    {"timeout_share", Phase::kCongestion, "%", timeout_share, 50, 80},
    {"spurious_retransmits", Phase::kCongestion, "", spurious},
    {"reordered", Phase::kCongestion, "", reordered},
    // guide: above 30 % of the connections; by itself no fault
    {"time_wait", Phase::kTeardown, "%", time_wait, 30, kNever},
    {"time_wait_reused", Phase::kTeardown, "in its namespace", time_wait_reused},
    {"reset_rate", Phase::kTeardown, "%", reset_rate, 5, 20},
    {"clean_shutdown", Phase::kTeardown, "%", clean_shutdown, 95, 80},
};

Grade mark_of(const Rule& rule, double value) {
    if (!rule.yellow && !rule.red)
        return Grade::kNone;
    const bool low_is_bad = rule.yellow > rule.red;
    const auto beyond = [&](double limit) { return low_is_bad ? value < limit : value >= limit; };
    return beyond(rule.red) ? Grade::kRed : beyond(rule.yellow) ? Grade::kYellow : Grade::kGreen;
}

std::vector<Figure> figures_of(const TcpSums& sums) {
    std::vector<Figure> figures;
    for (const Rule& rule : kRules)
        if (const Value value = rule.value(sums))
            figures.push_back({rule.id, rule.phase, *value, rule.unit, mark_of(rule, *value)});
    return figures;
}

Grade worst_of(const std::vector<Figure>& figures) {
    Grade worst = Grade::kNone;
    for (const Figure& figure : figures)
        worst = std::max(worst, figure.mark);
    return worst;
}

template <typename Row>
void put_worst_first(std::vector<std::pair<Row, std::uint64_t>>& rows) {
    std::ranges::stable_sort(rows, [](const auto& a, const auto& b) {
        return a.first.worst != b.first.worst ? a.first.worst > b.first.worst : a.second > b.second;
    });
}

void add_peers(TcpService& service, const TcpServiceSums& sums) {
    std::vector<std::pair<TcpPeer, std::uint64_t>> peers;
    for (const auto& [address, peer_sums] : sums.peers) {
        TcpPeer peer{address, figures_of(peer_sums), Grade::kNone};
        peer.worst = worst_of(peer.figures);
        peers.emplace_back(std::move(peer), peer_sums.flow.segs_out + peer_sums.flow.segs_in);
    }
    put_worst_first(peers);
    for (auto& [peer, segs] : peers)
        if (service.peers.size() < TcpService::kPeersMax)
            service.peers.push_back(std::move(peer));
    service.peers_left_out = peers.size() - service.peers.size();
}

} // namespace

std::vector<TcpService> tcp_services(const Facts& facts) {
    std::vector<std::pair<TcpService, std::uint64_t>> rows;
    for (const auto& [key, sums] : tcp_sums(facts.total)) {
        TcpService service;
        service.netns = key.netns;
        service.role = key.role;
        service.port = key.port;
        service.owner = sums.owner;
        if (sums.addresses.size() == 1)
            service.address = *sums.addresses.begin();
        service.figures = figures_of(sums.sums);
        service.worst = worst_of(service.figures);
        if (service.figures.empty())
            continue;
        add_peers(service, sums);
        rows.emplace_back(std::move(service), sums.sums.segs() + sums.sums.flow.segs_in);
    }
    put_worst_first(rows);
    std::vector<TcpService> services;
    for (auto& [service, segs] : rows)
        if (services.size() < kTcpServicesMax)
            services.push_back(std::move(service));
    return services;
}

} // namespace culprit
