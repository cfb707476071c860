// SPDX-License-Identifier: MIT
// What is wrong with which listening socket, for the detectors that say it and for those whose
// symptoms it explains.
#pragma once

#include <string>
#include <vector>

#include "abi/listen.h"
#include "detect/finding.h"
#include "detect/reach.h"
#include "model/window.h"

namespace culprit {

enum class ListenTrouble {
    kNone,
    kOverflow, // the accept queue is full
    kNoFiles,  // the same, because its process has no file descriptor left
    kFlood,    // the SYN queue is full of requests that nobody completes
};

/// One listening socket over the whole run.
struct ListenerFacts {
    listen_total sum{};                          // the socket's own figures
    std::uint64_t established = 0, accepted = 0; // of all sockets of its address
    std::uint64_t first_ns = 0, last_ns = 0;
    const Counters* counters = nullptr; // growth in its namespace; none when they were not read
    ListenTrouble trouble = ListenTrouble::kNone;

    /// Its process, most of the times it was looked at.
    bool is_stopped() const {
        return sum.owner_stopped && 2 * sum.owner_stopped >= sum.owner_looks;
    }
    bool was_full() const { return sum.looks_full || (sum.looks && sum.depth > sum.limit); }
    bool shared() const { return sum.sockets > 1; }
    /// Of its namespace; 0 when it was not read.
    std::uint64_t counted(std::size_t index) const { return counters ? (*counters)[index] : 0; }
};

class Listeners {
public:
    /// `total` has to stay.
    explicit Listeners(const Window& total);

    const std::vector<ListenerFacts>& all() const& { return x_all; }
    void all() const&& = delete; // it would not outlive the loop over it
    /// The listener that this end of a flow belongs to, on this host.
    const ListenerFacts* of(const abi_flow& flow, bool local) const;
    /// The listener in trouble that this end of a flow belongs to, on this host.
    const ListenerFacts* at(const abi_flow& flow, bool local) const;
    /// The drop at that place is the mark of such a listener.
    bool explains_drop(std::uint32_t netns, const std::string& reason,
                       const std::string& symbol) const;

    /// Sent by a listener under a flood: what it answers, nobody asked for.
    bool is_backscatter(const abi_flow& flow) const;

private:
    void add_places();

    std::vector<ListenerFacts> x_all;
    Reach x_reach; // to all of them: one without trouble is no reason to ask another
};

/// "10.0.0.1:80", "*:80".
std::string listener_name(const ListenerFacts& listener);

// What the findings about listeners have in common.
Finding listener_finding(const char* id, const ListenerFacts& listener, const Window& total);
void add_accept_queue(Finding& finding, const ListenerFacts& listener);
/// Who of this host waits for it.
void add_sufferers(Finding& finding, const ListenerFacts& listener, const Listeners& listeners,
                   const Window& total);

} // namespace culprit
