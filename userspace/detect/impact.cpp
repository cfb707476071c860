// SPDX-License-Identifier: MIT
// Triage: how much of the host was seen, and how much of that is in trouble.
#include "detect/impact.h"

#include <algorithm>
#include <map>
#include <set>

#include <fmt/format.h>

#include "detect/flows.h"
#include "model/format.h"

namespace culprit {

namespace {

using ProcessKeys = std::set<std::pair<std::uint32_t, std::uint64_t>>;

/// What the records about connections tell of in all.
struct Seen {
    ProcessKeys processes;
    std::set<std::uint32_t> netns;
    std::set<std::string> peers;
    std::uint64_t attempts = 0, closed = 0, failed = 0, cut = 0;
    std::set<std::string> again; // conversations with segments sent again

    void note(const abi_flow& flow, const abi_owner& owner) {
        if (owner.tgid)
            processes.emplace(owner.tgid, owner.start_ns);
        if (flow.netns)
            netns.insert(flow.netns);
        if (flow.family)
            peers.insert(address(flow, false));
    }
};

Seen look_at(const Window& total) {
    Seen seen;
    for (const auto& [row, info] : total.rows<connect_event>(ABI_CONNECT)) {
        seen.attempts += info.count;
        if (row.result != ABI_RESULT_OK && !changed_its_mind(row, info))
            seen.failed += info.count;
        seen.note(row.flow, row.owner);
    }
    for (const auto& [row, info] : total.rows<close_event>(ABI_CLOSE)) {
        seen.closed += info.count;
        if (row.had_data && row.ending != ABI_ENDING_FIN)
            seen.cut += info.count;
        seen.note(row.flow, row.owner);
    }
    for (const auto& [row, info] : total.rows<retransmit_event>(ABI_RETRANSMIT)) {
        if (row.type != ABI_RETRANSMIT_SYN && row.type != ABI_RETRANSMIT_SYNACK)
            seen.again.insert(conversation(row.flow));
        seen.note(row.flow, row.owner);
    }
    return seen;
}

} // namespace

std::string scope_of(const Window& total) {
    const Seen seen = look_at(total);
    return fmt::format("{} connections attempted, {} ended, {} processes in {} network namespaces "
                       "seen, {} peers",
                       seen.attempts, seen.closed, seen.processes.size(), seen.netns.size(),
                       seen.peers.size());
}

Impact impact_of(const Window& total, const std::vector<Finding>& findings) {
    const Seen seen = look_at(total);
    Impact impact{.attempts = seen.attempts,
                  .failed = seen.failed,
                  .ended = seen.closed,
                  .cut = seen.cut,
                  .sent_again = seen.again.size()};
    ProcessKeys processes = seen.processes, hurt;
    for (const Finding& finding : findings) {
        if (finding.severity == Severity::kInfo)
            continue;
        if (finding.where.netns)
            impact.netns.insert(finding.where.netns);
        for (const Party& party : finding.affected) {
            const std::pair key(party.owner.tgid, party.owner.start_ns);
            if (!party.owner.tgid || !hurt.insert(key).second)
                continue;
            processes.insert(key);
            impact.hurt.push_back(owner_name(party.owner, total.names));
        }
    }
    impact.processes = processes.size();
    return impact;
}

} // namespace culprit
