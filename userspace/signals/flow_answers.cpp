// SPDX-License-Identifier: MIT
// When was an answer due, and when did it come? The kernel keeps the time of the last data in each
// direction, so only a short answer tells when it began.
#include "signals/flow_answers.h"

#include <algorithm>
#include <bit>
#include <optional>
#include <utility>

#include "abi/connection.h"
#include "signals/flow_growth.h"

namespace culprit {

namespace {

constexpr std::uint64_t kShortSegs = 10; // sent at once: the initial window of RFC 6928
constexpr std::int32_t kPenalty = 4;
constexpr std::int32_t kTrustMax = 4;

std::uint32_t ticks_between(std::uint32_t from, std::uint32_t to) {
    return static_cast<std::int32_t>(to - from) > 0 ? to - from : 0;
}

/// Nothing when there was no answer to a question, or when nothing is known of its time.
std::optional<std::uint32_t> time_answer(const Talk& before, const Talk& now, std::uint32_t mss) {
    const std::uint64_t answer = now.answer_bytes - before.answer_bytes;
    const std::uint32_t questions = now.question_segs - before.question_segs;
    if (!answer)
        return {};
    // sent again: the time is the last attempt's
    const bool exact = answer <= kShortSegs * mss && now.retransmits == before.retransmits;
    if (exact && !now.asked_last && (questions || before.waits()))
        return ticks_between(now.asked_ticks, now.answered_ticks);
    if (!before.waits())
        return {};
    // the question after the answer is the only one since
    if (exact && now.asked_last && questions == 1)
        return ticks_between(before.asked_ticks, now.answered_ticks);
    const std::uint32_t at_least = ticks_between(before.asked_ticks, before.now_ticks);
    return at_least ? std::optional(at_least) : std::nullopt;
}

void count(flow_total& into, std::uint64_t ns) {
    into.answers++;
    into.answer_ns += ns;
    into.answer_max_ns = std::max<std::uint64_t>(into.answer_max_ns, ns);
    const auto slot = static_cast<std::size_t>(std::bit_width(ns / 1000));
    into.answer_slots[std::min<std::size_t>(slot, FLOW_SLOTS - 1)]++;
}

/// Data that is on its way was sent after what the peer sent last, or in spite of it.
bool is_peer_last(const flow_look& look, std::uint64_t on_its_way) {
    if (look.received_ticks != look.sent_ticks)
        return static_cast<std::int32_t>(look.received_ticks - look.sent_ticks) > 0;
    return look.peer_spoke_last && !on_its_way;
}

} // namespace

Talk talk_of(const flow_look& look) {
    const std::uint64_t on_its_way = unsent_of(look);
    const std::uint64_t written = sent_of(look) + on_its_way;
    const bool by_peer = is_peer_last(look, on_its_way);
    Talk talk{.asked_ticks = look.received_ticks,
              .answered_ticks = look.sent_ticks,
              .now_ticks = look.now_ticks,
              .question_bytes = received_of(look),
              .answer_bytes = written,
              .question_segs = look.data_segs_in,
              .retransmits = look.retransmits,
              .asked_last = by_peer,
              .quiet = !on_its_way};
    if (look.role == ABI_ROLE_SERVER)
        return talk;
    std::swap(talk.asked_ticks, talk.answered_ticks);
    std::swap(talk.question_bytes, talk.answer_bytes);
    talk.question_segs = look.data_segs_out;
    talk.asked_last = !by_peer;
    talk.quiet = talk.quiet && !unread_of(look);
    return talk;
}

void Answers::add(const Talk& before, const Talk& now, std::uint32_t mss, std::uint64_t tick_ns,
                  flow_total& into) {
    if (const auto ticks = time_answer(before, now, mss)) {
        x_trust = std::min(x_trust + 1, kTrustMax);
        count(into, *ticks * tick_ns);
    } else if (before.waits() && now.question_bytes != before.question_bytes &&
               now.answer_bytes == before.answer_bytes) {
        x_trust = -kPenalty;
    }
    if (!now.waits() || x_trust <= 0)
        return;
    into.waiting++;
    into.waiting_max_ns = std::max<std::uint64_t>(
        into.waiting_max_ns, ticks_between(now.asked_ticks, now.now_ticks) * tick_ns);
}

} // namespace culprit
