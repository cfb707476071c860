// SPDX-License-Identifier: MIT
// TCP figures as JSON: the member "tcp" of culprit.diagnosis/1, and culprit.tcp/1.
#include <nlohmann/json.hpp>

#include "model/identity.h"
#include "present/layout.h"
#include "present/tcp.h"
#include "util/text.h"
#include "util/time.h"

namespace culprit {

namespace {

using Json = nlohmann::ordered_json;

const char* mark_name(Grade mark) {
    return kGradeNames[static_cast<std::size_t>(mark)];
}

Json figures_json(const std::vector<Figure>& figures) {
    Json out = Json::array();
    for (const Figure& figure : figures)
        out.push_back({{"id", figure.id},
                       {"phase", kPhaseNames[static_cast<std::size_t>(figure.phase)]},
                       {"value", finite(figure.value)},
                       {"unit", figure.unit},
                       {"mark", mark_name(figure.mark)}});
    return out;
}

} // namespace

nlohmann::ordered_json tcp_to_json(const std::vector<TcpService>& services, const Names& names) {
    Json out = Json::array();
    for (const TcpService& service : services) {
        const bool known = service.owner.tgid != 0;
        Json peers = Json::array();
        for (const TcpPeer& peer : service.peers)
            peers.push_back(
                {{"address", peer.address.empty() ? Json(nullptr) : Json(safe_once(peer.address))},
                 {"mark", mark_name(peer.worst)},
                 {"figures", figures_json(peer.figures)}});
        out.push_back(
            {{"role", service.role == ABI_ROLE_SERVER ? "server" : "client"},
             {"address",
              service.address.empty() ? Json(nullptr) : Json(safe_once(service.address))},
             {"port", service.port},
             {"netns", service.netns},
             {"pid", known ? Json(service.owner.tgid) : Json(nullptr)},
             {"comm", known ? Json(safe_text(identify(service.owner, names).comm)) : Json(nullptr)},
             {"mark", mark_name(service.worst)},
             {"figures", figures_json(service.figures)},
             {"peers", std::move(peers)},
             {"peers_left_out", service.peers_left_out}});
    }
    return out;
}

std::string tcp_json(const Verdict& verdict) {
    const auto wall = [&](std::uint64_t boot_ns) {
        return rfc3339(static_cast<std::int64_t>(boot_ns) + verdict.wall_offset_ns);
    };
    const Json out = {{"schema", "culprit.tcp/1"},
                      {"host", safe_once(verdict.host)},
                      {"kernel", safe_once(verdict.kernel)},
                      {"from", wall(verdict.from_ns)},
                      {"to", wall(verdict.to_ns)},
                      {"services", tcp_to_json(verdict.tcp, verdict.names)}};
    return out.dump(2) + '\n';
}

} // namespace culprit
