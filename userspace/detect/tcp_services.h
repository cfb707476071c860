// SPDX-License-Identifier: MIT
// How the TCP services of this host fare: an operator's figures from handshake to teardown, each
// with its mark. Not findings: a red figure says where to look, a detector says what is wrong.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "abi/event.h"

namespace culprit {

struct Facts;

enum class Grade { kNone, kGreen, kYellow, kRed }; // none: a figure without good and bad
inline constexpr const char* kGradeNames[] = {"none", "green", "yellow", "red"};
enum class Phase { kHandshake, kTransfer, kCongestion, kTeardown };
inline constexpr const char* kPhaseNames[] = {"handshake", "transfer", "congestion", "teardown"};

struct Figure {
    std::string_view id;
    Phase phase = Phase::kHandshake;
    double value = 0;
    std::string_view unit; // "ms", "%", "B/s", empty: a number
    Grade mark = Grade::kNone;
};

struct TcpPeer {
    std::string address; // "192.0.2.7"; empty: those that had no room for a row of their own
    std::vector<Figure> figures;
    Grade worst = Grade::kNone;
};

/// A port that a process serves, or uses elsewhere.
struct TcpService {
    std::uint32_t netns = 0;
    std::uint8_t role = 0; // enum abi_role
    std::uint16_t port = 0;
    abi_owner owner{};
    std::string address; // the server's; empty when there are several
    std::vector<Figure> figures;
    std::vector<TcpPeer> peers; // worst first, at most kPeersMax
    std::size_t peers_left_out = 0;
    Grade worst = Grade::kNone;

    static constexpr std::size_t kPeersMax = 8;
};

inline constexpr std::size_t kTcpServicesMax = 64;

/// Worst first, then those with the most segments; at most kTcpServicesMax. What a run did not see
/// (no connection was made, none ended) has no figure.
std::vector<TcpService> tcp_services(const Facts& facts);

} // namespace culprit
