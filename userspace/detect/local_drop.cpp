// SPDX-License-Identifier: MIT
// local-drop. Claim: this host itself drops packets, at that place in the kernel, and these
// processes suffer. Evidence: exact drop totals of the place; sampled packets of it that belong to
// conversations which are sent again or never get connected, or to a known socket. Looks alike:
// loss beyond this host (no drop record for the flow), drops a narrower finding tells of
// (drop_class.cpp), and drops of packets nobody waits for (info at most).
#include <fmt/format.h>

#include "detect/links.h"

namespace culprit {

namespace {

Advice advice_for(const std::string& reason, std::uint32_t netns_id, const Names& names) {
    const std::string in = in_netns(netns_id, names);
    if (reason == "SOCKET_RCVBUFF" || reason == "PROTO_MEM")
        return {"the process reads too slowly for its receive buffer", in + "ss -lunmp"};
    if (reason.starts_with("IP_RPFILTER"))
        return {"reverse path filtering refuses the source",
                in + "sysctl -a -r 'net.ipv4.conf.*.rp_filter'"};
    if (reason == "PKT_TOO_BIG")
        return {"packets exceed the MTU of a device on the way", in + "ip link show"};
    if (reason == "SOCKET_FILTER")
        return {"a filter that the process set on its socket refuses them", in + "ss -lbmp"};
    return {"look at what this kernel function checks, and at the device's configuration",
            in + "ip -s -s link show"};
}

} // namespace

std::optional<Finding> local_drop_finding(const DropFacts& drops, const Window& total) {
    DropStory story{.id = "local-drop", .layer = Layer::kTransport};
    story.crowded = true;
    story.title = fmt::format("this host drops packets, {} at {}", drops.reason, drops.symbol);
    story.advice.push_back(advice_for(drops.reason, drops.at.netns, total.names));
    return drop_finding(story, drops, total);
}

std::vector<Finding> detect_local_drop(const Facts& facts) {
    std::vector<DropFacts> places = facts.drops().of("local-drop");
    // the other end did not take them, and not for their length
    for (DropFacts& drops : facts.drops().of("mtu-mismatch"))
        if (!frames_too_long(drops, facts.links()))
            places.push_back(std::move(drops));
    std::vector<Finding> findings;
    for (const DropFacts& drops : places)
        if (auto finding = local_drop_finding(drops, facts.total))
            findings.push_back(std::move(*finding));
    return findings;
}

} // namespace culprit
