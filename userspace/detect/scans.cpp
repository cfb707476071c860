// SPDX-License-Identifier: MIT
// Attempts to connect, by program and address.
#include "detect/scans.h"

#include <algorithm>
#include <cerrno>

#include "detect/thresholds.h"
#include "model/format.h"
#include "util/text.h"

namespace culprit {

namespace {

Scans::Key key_of(const abi_flow& flow, const abi_owner& owner) {
    return {flow.netns, std::string(until_nul(owner.comm)), address(flow, false)};
}

void add(Scan& scan, const connect_event& attempt, const RowInfo& info) {
    scan.flow = attempt.flow;
    scan.closed.insert(attempt.flow.remote_port);
    scan.in_vain += info.count;
    scan.refused += attempt.error == ECONNREFUSED ? info.count : 0;
    scan.first_ns = scan.first_ns ? std::min(scan.first_ns, info.first_ns) : info.first_ns;
    auto& [attempts, who] = scan.processes[{attempt.owner.tgid, attempt.owner.start_ns}];
    attempts += info.count;
    who = attempt.owner;
}

} // namespace

bool Scan::is_scan() const {
    using namespace threshold;
    if (closed.size() < kScanPorts || double(in_vain) < kScanShare * double(all))
        return false;
    const bool again = in_vain >= kScanAgain * closed.size();
    const bool answered = refused || in_vain < all;
    return closed.size() >= kScanPortsNoHost || (answered && !again);
}

Scans::Scans(const Window& total) {
    for (const auto& [attempt, info] : total.rows<connect_event>(ABI_CONNECT)) {
        if (!attempt.owner.tgid || !attempt.flow.family)
            continue;
        Scan& scan = x_all[key_of(attempt.flow, attempt.owner)];
        scan.all += info.count;
        if (attempt.result != ABI_RESULT_OK && attempt.result != ABI_RESULT_LOCAL)
            add(scan, attempt, info);
    }
    std::erase_if(x_all, [](const auto& one) { return !one.second.is_scan(); });
}

bool Scans::explains(const abi_flow& attempt, const abi_owner& owner) const {
    return x_all.contains(key_of(attempt, owner));
}

} // namespace culprit
