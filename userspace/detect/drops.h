// SPDX-License-Identifier: MIT
// Where this host drops packets, who suffers by it, and which finding tells of it: shared by all
// detectors whose evidence are drops.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "detect/finding.h"
#include "detect/flows.h"

namespace culprit {

/// All packets dropped for one reason at one place of the kernel in one namespace.
struct DropFacts {
    DropPlace at;
    std::string reason, symbol; // as text: "NETFILTER_DROP", "nft_do_chain+0x3e8"
    std::uint64_t packets = 0, first_ns = 0;
    std::map<std::uint32_t, std::uint64_t> devices; // ifindex -> packets
    std::map<std::string, std::uint64_t> protocols; // "tcp", "ARP" -> packets
    std::vector<Party> affected;                    // worst first
    std::map<std::uint32_t, std::uint64_t> again;   // netns -> segments its sockets sent again
    std::uint64_t segs_again = 0;                   // sum of them
    std::uint64_t conversations = 0;                // that are seen to suffer
    std::uint64_t syn_conversations = 0;            // of them attempts to connect
    std::uint64_t unanswered = 0;                   // questions to name servers, of them
    std::uint64_t socket_samples = 0;               // samples that belong to a known process
    std::string example;                            // "10.0.0.1:5 -> 10.0.0.2:80 tcp"
    std::vector<Row<drop_event>> samples;           // in the order of the window

    std::string_view function() const; // of the symbol
    bool hurts() const;                // somebody is seen to need these packets
    std::uint32_t main_device() const; // ifindex; 0 when there is none
};

/// The finding that tells of drops with that reason in that kernel function; "local-drop" when none
/// is narrower.
std::string_view drop_class(std::string_view reason, std::string_view function);

/// The finding that tells of the drops at that place.
Excuse drop_owner(const DropPlace& at, const Window& total);

class Drops {
public:
    explicit Drops(const Window& total);

    /// Places whose drops that finding tells of, put together by a key of the caller's: one element
    /// per key. Without a key per place.
    using Key = std::function<std::string(const DropFacts&)>;
    std::vector<DropFacts> of(std::string_view finding_id, const Key& key = {}) const;

private:
    void add_totals(const Window& total);
    void add_samples(const Window& total);
    void add_suffering(const Window& total);

    std::map<DropPlace, DropFacts> x_places;
};

/// Kernel addresses where most packets that are no normal life were dropped, at most 16: reading
/// debug information is slow.
std::vector<std::uint64_t> main_drop_places(const Window& window);

/// What a detector says of drops; the rest is the same for all.
struct DropStory {
    const char* id;
    Layer layer;
    std::string title; // what is dropped and why; the processes that suffer are added
    std::vector<Advice> advice;
    bool needed = false;  // somebody needs these packets even where no sufferer is on this host
    bool crowded = false; // what is full there may be so in ordinary life: TCP finds its rate so
};

/// What is said of drops that no other finding tells of.
std::optional<Finding> local_drop_finding(const DropFacts& drops, const Window& total);

/// None when there are too few to be worth a word. `title` ends up as "TITLE: PROCESS and others
/// suffer".
std::optional<Finding> drop_finding(const DropStory& story, const DropFacts& drops,
                                    const Window& total);

} // namespace culprit
