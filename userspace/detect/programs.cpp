// SPDX-License-Identifier: MIT
// xdp-drop, xdp-exception, tc-drop, cgroup-drop. Claim: that program or filter takes away packets
// which somebody needs. Evidence: drops at the place where such programs run; what is attached
// there; for an exception the tracepoint that names the program. Looks alike: a program that drops
// strays nobody waits for (info at most); a socket's own filter, which leaves the same reason as a
// program of its cgroup (told by what is attached); a firewall rule (another place).
#include <fmt/format.h>

#include <map>

#include "abi/nic.h"
#include "detect/below_drop.h"
#include "detect/thresholds.h"
#include "model/format.h"
#include "util/text.h"

namespace culprit {

namespace {

using Device = std::pair<std::uint32_t, std::uint32_t>; // netns, ifindex

struct Failing {
    std::uint64_t packets = 0;
    std::uint32_t program = 0;
};

std::map<Device, Failing> failing_programs(const Window& total) {
    std::map<Device, Failing> found;
    for (const auto& [row, info] : total.rows<nic_total>(ABI_NIC_TOTAL))
        if (row.xdp_exceptions) {
            Failing& one = found[{row.netns, row.ifindex}];
            one.packets += row.xdp_exceptions;
            one.program = row.xdp_program;
        }
    return found;
}

std::string device_name(const Device& at, const Names& names) {
    return device(at.first, at.second, names);
}

/// "program a (id 1)"; others beside it are in the evidence.
std::string suspect(const std::vector<program_total>& attached, const std::string& unknown) {
    return attached.empty() ? unknown : program_text(attached.front());
}

void add_attached(Finding& finding, const std::vector<program_total>& attached,
                  const std::string& source) {
    constexpr std::size_t kShown = 4;
    static constexpr const char* kModes[] = {"", ", in the driver", ", in the stack",
                                             ", in the hardware", ""};
    for (std::size_t i = 0; i < attached.size() && i < kShown; i++) {
        const program_total& one = attached[i];
        std::string text = "attached there: " + program_text(one);
        if (one.mode < std::size(kModes))
            text += kModes[one.mode];
        if (one.drops)
            text += fmt::format("; it dropped {} packets by its own count", one.drops);
        finding.evidence.push_back({text, std::nullopt, "", source});
    }
}

Evidence exceptions(const Failing& failing, const Window& total) {
    return {fmt::format("{} failed on {} packets", program_text(total, failing.program),
                        failing.packets),
            static_cast<double>(failing.packets), "packets", "xdp_exception"};
}

DropStory xdp_story(const Device& at, const std::string& program, bool fails, const Names& names) {
    const std::string dev = device_name(at, names), in = in_netns(at.first, names);
    DropStory story{.id = fails ? "xdp-exception" : "xdp-drop", .layer = Layer::kDataLink};
    story.title =
        fails ? fmt::format("the XDP {} on {} fails, and its packets are lost", program, dev)
              : fmt::format("the XDP {} on {} drops packets", program, dev);
    story.needed = fails;
    story.advice = {{fails ? "repair the program: it returns XDP_ABORTED or an action its device "
                             "cannot carry out"
                           : "look at what the program drops, and at its maps",
                     in + "bpftool net show dev " + shell_word(dev)},
                    {"take it off for a moment to prove it",
                     in + "ip link set dev " + shell_word(dev) + " xdp off"}};
    return story;
}

/// Those whose packets mostly met a failing program, or the others.
std::vector<Finding> xdp_findings(const Facts& facts, bool fails) {
    const auto failing = failing_programs(facts.total);
    std::vector<Finding> findings;
    for (const DropFacts& drops : facts.drops().of("xdp-drop")) {
        const Device at{drops.at.netns, drops.main_device()};
        const auto failed = failing.find(at);
        if (fails != (failed != failing.end() && failed->second.packets * 2 >= drops.packets))
            continue;
        const auto attached = attached_to(facts.total, at.first, at.second, ABI_PROGRAM_XDP);
        const std::string program = fails ? program_text(facts.total, failed->second.program)
                                          : suspect(attached, "program");
        auto finding =
            drop_finding(xdp_story(at, program, fails, facts.total.names), drops, facts.total);
        if (!finding)
            continue;
        add_attached(*finding, attached, "RTM_GETLINK");
        if (fails)
            finding->evidence.push_back(exceptions(failed->second, facts.total));
        findings.push_back(std::move(*finding));
    }
    return findings;
}

/// In a driver's own memory a packet dies without a trace but the exception.
void add_traceless(const Facts& facts, std::vector<Finding>& findings) {
    std::map<Device, std::uint64_t> dropped;
    for (const DropFacts& drops : facts.drops().of("xdp-drop"))
        for (const auto& [ifindex, packets] : drops.devices)
            dropped[{drops.at.netns, ifindex}] += packets;
    const Names& names = facts.total.names;
    for (const auto& [at, failed] : failing_programs(facts.total)) {
        if (dropped[at] || failed.packets < threshold::kXdpFailuresMin)
            continue;
        const DropStory story =
            xdp_story(at, program_text(facts.total, failed.program), true, names);
        Finding finding{.id = story.id, .layer = story.layer, .confidence = 0.9};
        finding.title = story.title;
        finding.where = {.device = device_name(at, names), .netns = at.first};
        finding.count = failed.packets;
        finding.rate_per_s = per_second(facts.total, double(failed.packets));
        finding.evidence.push_back(exceptions(failed, facts.total));
        finding.advice = story.advice;
        finding.verify = verify_in_netns(finding);
        findings.push_back(std::move(finding));
    }
}

std::string tc_command(const std::string& in, const std::string& dev, bool egress) {
    return fmt::format("{}tc -s filter show dev {} {}", in, shell_word(dev),
                       egress ? "egress" : "ingress");
}

/// The socket that had most packets refused.
abi_owner refused_owner(const DropFacts& drops) {
    if (!drops.affected.empty())
        return drops.affected.front().owner;
    for (const auto& [drop, info] : drops.samples)
        if (drop.owner.cgroup_id)
            return drop.owner;
    return {};
}

DropStory cgroup_story(const std::vector<program_total>& attached, bool egress,
                       const Names& names) {
    const std::string path = attached.empty() ? "" : cgroup_path(attached.front().owner, names);
    const std::string of = path.empty() ? "" : " of cgroup " + safe_text(path);
    DropStory story{.id = "cgroup-drop", .layer = Layer::kNetwork};
    story.title = fmt::format("the {}{} refuses packets {} its processes",
                              suspect(attached, "BPF program"), of, egress ? "from" : "to");
    story.advice = {
        {egress ? "look at what the program allows; the process gets EPERM when it sends. Services "
                  "of systemd have it from IPAddressDeny="
                : "look at what the program allows. Services of systemd have it from "
                  "IPAddressDeny=",
         path.empty() ? "bpftool cgroup tree" : "bpftool cgroup show /sys/fs/cgroup" + path}};
    return story;
}

} // namespace

std::vector<Finding> detect_xdp_drop(const Facts& facts) {
    return xdp_findings(facts, false);
}

std::vector<Finding> detect_xdp_exception(const Facts& facts) {
    auto findings = xdp_findings(facts, true);
    add_traceless(facts, findings);
    return findings;
}

std::vector<Finding> detect_tc_drop(const Facts& facts) {
    const Names& names = facts.total.names;
    std::vector<Finding> findings;
    for (const DropFacts& drops : facts.drops().of("tc-drop")) {
        const bool egress = drops.reason == "TC_EGRESS";
        const Device at{drops.at.netns, drops.main_device()};
        const std::string dev = device_name(at, names);
        const auto attached = attached_to(facts.total, at.first, at.second,
                                          egress ? ABI_PROGRAM_TC_EGRESS : ABI_PROGRAM_TC_INGRESS);
        DropStory story{.id = "tc-drop", .layer = Layer::kNetwork};
        story.title =
            fmt::format("the tc {} drops packets {} {}", suspect(attached, "filter or program"),
                        egress ? "that leave through" : "that arrive at", dev);
        story.advice = {{"look at what the filter matches; its statistics tell how often",
                         tc_command(in_netns(at.first, names), dev, egress)}};
        auto finding = drop_finding(story, drops, facts.total);
        if (!finding)
            continue;
        add_attached(*finding, attached, "RTM_GETTFILTER");
        findings.push_back(std::move(*finding));
    }
    return findings;
}

std::vector<Finding> detect_cgroup_drop(const Facts& facts) {
    std::vector<Finding> findings;
    for (const DropFacts& drops : facts.drops().of("cgroup-drop")) {
        const bool egress = drops.reason == "BPF_CGROUP_EGRESS";
        const abi_owner refused = refused_owner(drops);
        const auto attached = attached_to_cgroup(
            facts.total, refused, egress ? ABI_PROGRAM_CGROUP_EGRESS : ABI_PROGRAM_CGROUP_INGRESS);
        std::optional<Finding> finding;
        if (egress || !attached.empty()) {
            DropStory story = cgroup_story(attached, egress, facts.total.names);
            // each refusal is an error in some sender's hands, known or not
            story.needed = egress;
            finding = drop_finding(story, drops, facts.total);
        } else {
            finding = local_drop_finding(drops, facts.total); // the socket's own filter:
            if (finding)
                finding->severity = Severity::kInfo; // the process wants it so
        }
        if (!finding)
            continue;
        if (const std::string path = cgroup_path(refused, facts.total.names); !path.empty())
            finding->evidence.push_back(
                {"the sockets belong to cgroup " + safe_text(path), std::nullopt, "", "kfree_skb"});
        add_attached(*finding, attached, "BPF_PROG_QUERY");
        findings.push_back(std::move(*finding));
    }
    return findings;
}

} // namespace culprit
