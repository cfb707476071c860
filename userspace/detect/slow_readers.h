// SPDX-License-Identifier: MIT
// Processes that take what they receive over TCP more slowly than it is sent: for the detectors
// that say it and for those whose symptoms it explains.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "abi/retransmit.h"
#include "detect/tcp_flows.h"

namespace culprit {

/// One reading process, or one remote address, and the connections that wait for it.
struct SlowReader {
    Party party;        // tgid 0: not known, or not of this host
    bool here = false;  // its sockets are of this host
    bool serves = true; // it is the server of these connections
    bool stopped = false;
    bool asked = false;             // it answers what it reads
    std::string local, remote;      // of its own connections when it is here, else of the senders'
    std::uint32_t netns = 0;        // of that end
    std::vector<Party> senders;     // of this host, that wait for him; some of them
    std::set<ProcessKey> waiting;   // all of them
    bool senders_here = false;      // those that do not wait included
    std::uint64_t closed_looks = 0; // at its end, or at the senders' when it is elsewhere
    std::uint64_t looks = 0;
    std::uint64_t closed_ns = 0; // longest time without a break in which nothing came through
    std::uint64_t closed_at_end_ns = 0; // of a client of this host that did not read again
    double unread_bytes = 0, window_bytes = 0, buffer_bytes = 0; // means of one connection
    double waiting_bytes = 0;             // in the senders' queues, mean of one connection
    double read_per_s = 0;                // bytes, of one connection
    double active_ns = 0, limited_ns = 0; // of the senders: with data to send; waiting for him
    std::uint64_t first_ns = 0;

    double closed_share() const { return FlowFacts::ratio(closed_looks, looks); }
    double limited_share() const { return active_ns > 0 ? limited_ns / active_ns : 0; }
    /// How long data is on its way from the sender's call to the reader's; 0 when nothing is read.
    double lag_s() const;
    /// Part of the window that what is not read takes.
    double full_share() const;
    bool is_closed() const; // for so long that it is no pace any more
    bool is_slow() const;   // a pace, below what the senders have
};

std::vector<SlowReader> slow_readers(const TcpFlows& flows, const Facts& facts);

/// "archiver (pid 42)", or the address of one that is elsewhere.
std::string reader_name(const SlowReader& reader, const Names& names);
/// What the findings about readers have in common.
Finding reader_finding(const char* id, const SlowReader& reader, const Window& total);

/// Connections whose segments are repeated to ask whether the window is still closed.
class ClosedWindows {
public:
    explicit ClosedWindows(const Facts& facts);
    bool explains(const retransmit_event& again) const;

private:
    std::set<std::pair<PartyKey, std::string>> x_closed; // sender, address of the reader
};

} // namespace culprit
