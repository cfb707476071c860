// SPDX-License-Identifier: MIT
// Questions and answers on one connection, told from the times of the last data each way. Pure.
#pragma once

#include <cstdint>

#include "abi/flow.h"

namespace culprit {

/// What a look tells of the conversation, whichever end this is.
struct Talk {
    std::uint32_t asked_ticks = 0;    // last byte of a question
    std::uint32_t answered_ticks = 0; // last byte of an answer
    std::uint32_t now_ticks = 0;
    std::uint64_t question_bytes = 0;
    std::uint64_t answer_bytes = 0;
    std::uint32_t question_segs = 0;
    std::uint32_t retransmits = 0;
    bool asked_last = false; // the question came after the answer
    bool quiet = false;      // nothing is on its way, nor waits to be read as an answer

    bool waits() const { return quiet && asked_last; }
};

/// Of a client or a server.
Talk talk_of(const flow_look& look);

/// Remembers whether this connection is one of questions and answers at all.
class Answers {
public:
    /// What is new since the look before goes into `into`.
    void add(const Talk& before, const Talk& now, std::uint32_t mss, std::uint64_t tick_ns,
             flow_total& into);

private:
    // Answers so far, less a penalty for each question that was followed by another one instead of
    // an answer: of uploads, acknowledgements and pings that nobody answers
    std::int32_t x_trust = 0;
};

} // namespace culprit
