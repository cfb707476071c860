// SPDX-License-Identifier: MIT
// SIOCETHTOOL: it works on every kernel and with every driver, and needs no capability to read.
#include "kernel/ethtool.h"

#include <linux/ethtool.h>
#include <linux/if.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstring>
#include <vector>

namespace culprit {

namespace {

/// Drivers with many queues have thousands of counters; more than these are not read.
constexpr std::uint32_t kCountersMax = 16384;

constexpr std::string_view kTroubles[] = {
    "err",    "drop",    "discard",  "miss",      "timeout",   "crc",
    "fifo",   "no_buf",  "nobuf",    "buffer",    "collision", "abort",
    "jabber", "carrier", "oversize", "undersize", "too_long",  "too_short"};

/// A command with room behind it, aligned for the kernel's structs.
struct Buffer {
    explicit Buffer(std::size_t size) : words((size + 7) / 8) {}
    std::vector<std::uint64_t> words; // all 0
    template <typename Command>
    Command* as() {
        return reinterpret_cast<Command*>(words.data());
    }
};

} // namespace

bool is_trouble(std::string_view counter_name) {
    std::string name(counter_name);
    std::ranges::transform(name, name.begin(),
                           [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return name.find("xdp") == std::string::npos &&
           std::ranges::any_of(kTroubles, [&](std::string_view part) {
               return name.find(part) != std::string::npos;
           });
}

Ethtool::Ethtool() : x_socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {}

bool Ethtool::ask(const LinkInfo& link, void* command) const {
    ifreq request{};
    link.name.copy(request.ifr_name, IFNAMSIZ - 1);
    request.ifr_data = static_cast<char*>(command);
    return x_socket && ::ioctl(x_socket.get(), SIOCETHTOOL, &request) == 0;
}

void Ethtool::read_speed(LinkInfo& link) const {
    // asked without room the driver says how many words of link modes it has, as a negative number
    Buffer room(sizeof(ethtool_link_settings) + 3 * 128 * sizeof(std::uint32_t));
    auto* settings = room.as<ethtool_link_settings>();
    settings->cmd = ETHTOOL_GLINKSETTINGS;
    if (!ask(link, settings) || settings->link_mode_masks_nwords >= 0)
        return;
    settings->link_mode_masks_nwords = static_cast<__s8>(-settings->link_mode_masks_nwords);
    settings->cmd = ETHTOOL_GLINKSETTINGS;
    if (!ask(link, settings))
        return;
    link.speed_mbit =
        settings->speed == static_cast<std::uint32_t>(SPEED_UNKNOWN) ? 0 : settings->speed;
    link.duplex = settings->duplex;
}

std::map<std::string, std::uint64_t> Ethtool::read_troubles(const LinkInfo& link) const {
    ethtool_drvinfo driver{};
    driver.cmd = ETHTOOL_GDRVINFO;
    if (!ask(link, &driver) || !driver.n_stats || driver.n_stats > kCountersMax)
        return {};
    // the kernel writes as many as there are by now: queues may have come since it was asked
    const std::size_t room = 2 * std::size_t{driver.n_stats} + 256;
    Buffer names(sizeof(ethtool_gstrings) + room * ETH_GSTRING_LEN);
    Buffer values(sizeof(ethtool_stats) + room * 8);
    auto* strings = names.as<ethtool_gstrings>();
    strings->cmd = ETHTOOL_GSTRINGS;
    strings->string_set = ETH_SS_STATS;
    strings->len = driver.n_stats;
    auto* stats = values.as<ethtool_stats>();
    stats->cmd = ETHTOOL_GSTATS;
    stats->n_stats = driver.n_stats;
    if (!ask(link, strings) || !ask(link, stats))
        return {};
    std::map<std::string, std::uint64_t> found;
    for (std::uint32_t i = 0; i < std::min(strings->len, stats->n_stats); i++) {
        const char* name = reinterpret_cast<const char*>(strings->data) + i * ETH_GSTRING_LEN;
        std::string text(name, ::strnlen(name, ETH_GSTRING_LEN));
        if (is_trouble(text))
            found.emplace(std::move(text), stats->data[i]);
    }
    return found;
}

} // namespace culprit
