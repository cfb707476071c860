// SPDX-License-Identifier: MIT
// RTM_GETLINK with NLM_F_DUMP; the kernel answers in messages of attributes (rtnetlink(7)). No
// socket stays open in a namespace, where it would keep the namespace alive.
#include "kernel/links.h"

#include <linux/if.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <type_traits>

#include "util/unique_fd.h"

namespace culprit {

namespace {

using Bytes = std::span<const std::byte>;

template <typename T>
T take(Bytes bytes) {
    T value{};
    std::memcpy(&value, bytes.data(), std::min(bytes.size(), sizeof(value)));
    return value;
}

using Attribute = void (*)(Bytes value, LinkInfo& link);

std::string text_of(Bytes value) {
    const std::string_view text(reinterpret_cast<const char*>(value.data()), value.size());
    return std::string(text.substr(0, text.find('\0')));
}

/// Hands over each attribute of a list, damaged ones not.
template <typename Each>
void each_attribute(Bytes body, const Each& each) {
    while (body.size() >= sizeof(rtattr)) {
        const auto attribute = take<rtattr>(body);
        if (attribute.rta_len < sizeof(attribute) || attribute.rta_len > body.size())
            return;
        each(attribute.rta_type & NLA_TYPE_MASK,
             body.subspan(sizeof(attribute), attribute.rta_len - sizeof(attribute)));
        body = body.subspan(std::min(body.size(), std::size_t{RTA_ALIGN(attribute.rta_len)}));
    }
}

template <auto Member>
void number(Bytes value, LinkInfo& link) {
    link.*Member = take<std::remove_reference_t<decltype(link.*Member)>>(value);
}

template <auto Member>
void text(Bytes value, LinkInfo& link) {
    link.*Member = text_of(value);
}

void read_info(Bytes value, LinkInfo& link) {
    each_attribute(value, [&](unsigned type, Bytes inner) {
        if (type == IFLA_INFO_KIND)
            link.type = text_of(inner);
    });
}

void read_xdp(Bytes value, LinkInfo& link) {
    each_attribute(value, [&](unsigned type, Bytes inner) {
        if (type == IFLA_XDP_PROG_ID)
            link.xdp_program = take<std::uint32_t>(inner);
    });
}

constexpr struct {
    unsigned type;
    Attribute read;
} kAttributes[] = {
    {IFLA_IFNAME, text<&LinkInfo::name>},
    {IFLA_QDISC, text<&LinkInfo::qdisc>},
    {IFLA_MTU, number<&LinkInfo::mtu>},
    {IFLA_MIN_MTU, number<&LinkInfo::min_mtu>},
    {IFLA_MAX_MTU, number<&LinkInfo::max_mtu>},
    {IFLA_OPERSTATE, number<&LinkInfo::operstate>},
    {IFLA_CARRIER, [](Bytes value, LinkInfo& link) { link.carrier = take<std::uint8_t>(value); }},
    {IFLA_CARRIER_CHANGES, number<&LinkInfo::carrier_changes>},
    {IFLA_CARRIER_UP_COUNT, number<&LinkInfo::carrier_ups>},
    {IFLA_CARRIER_DOWN_COUNT, number<&LinkInfo::carrier_downs>},
    {IFLA_LINK, number<&LinkInfo::link>},
    {IFLA_LINK_NETNSID, number<&LinkInfo::link_netns_id>},
    {IFLA_MASTER, number<&LinkInfo::master>},
    {IFLA_NUM_RX_QUEUES, number<&LinkInfo::rx_queues>},
    {IFLA_NUM_TX_QUEUES, number<&LinkInfo::tx_queues>},
    {IFLA_STATS64, number<&LinkInfo::stats>},
    {IFLA_LINKINFO, read_info},
    {IFLA_XDP, read_xdp},
};

LinkInfo read_link(Bytes body) {
    const auto head = take<ifinfomsg>(body);
    LinkInfo link;
    link.ifindex = static_cast<std::uint32_t>(head.ifi_index);
    link.admin_up = head.ifi_flags & IFF_UP;
    link.loopback = head.ifi_flags & IFF_LOOPBACK;
    each_attribute(body.subspan(std::min(body.size(), std::size_t{NLMSG_ALIGN(sizeof(head))})),
                   [&](unsigned type, Bytes value) {
                       for (const auto& known : kAttributes)
                           if (known.type == type)
                               known.read(value, link);
                   });
    return link;
}

Result<UniqueFd> ask_for_links() {
    UniqueFd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
    if (!fd)
        return std::unexpected(sys_error(errno, "open rtnetlink"));
    const struct {
        nlmsghdr head;
        ifinfomsg body;
    } request = {{sizeof(request), RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, 1, 0},
                 {AF_UNSPEC, 0, 0, 0, 0, 0}};
    if (::send(fd.get(), &request, sizeof(request), 0) != sizeof(request))
        return std::unexpected(sys_error(errno, "ask rtnetlink for the devices"));
    return fd;
}

constexpr LinkErrorKind kErrorKinds[] = {
    {"rx_length", &LinkStats::rx_length_errors},
    {"rx_over", &LinkStats::rx_over_errors},
    {"rx_crc", &LinkStats::rx_crc_errors},
    {"rx_frame", &LinkStats::rx_frame_errors},
    {"rx_fifo", &LinkStats::rx_fifo_errors},
    {"rx_missed", &LinkStats::rx_missed_errors},
    {"tx_aborted", &LinkStats::tx_aborted_errors},
    {"tx_carrier", &LinkStats::tx_carrier_errors},
    {"tx_fifo", &LinkStats::tx_fifo_errors},
    {"tx_heartbeat", &LinkStats::tx_heartbeat_errors},
    {"tx_window", &LinkStats::tx_window_errors},
    {"collisions", &LinkStats::collisions},
};

} // namespace

std::span<const LinkErrorKind> link_error_kinds() {
    return kErrorKinds;
}

std::vector<LinkInfo> parse_links(Bytes messages, bool& done) {
    std::vector<LinkInfo> links;
    while (messages.size() >= sizeof(nlmsghdr) && !done) {
        const auto head = take<nlmsghdr>(messages);
        if (head.nlmsg_len < sizeof(head) || head.nlmsg_len > messages.size())
            break;
        done = head.nlmsg_type == NLMSG_DONE || head.nlmsg_type == NLMSG_ERROR;
        if (head.nlmsg_type == RTM_NEWLINK)
            links.push_back(
                read_link(messages.subspan(sizeof(head), head.nlmsg_len - sizeof(head))));
        messages =
            messages.subspan(std::min(messages.size(), std::size_t{NLMSG_ALIGN(head.nlmsg_len)}));
    }
    return links;
}

Result<std::vector<LinkInfo>> read_links(std::size_t& left_out) {
    const auto fd = ask_for_links();
    if (!fd)
        return std::unexpected(fd.error());
    std::vector<LinkInfo> links;
    std::vector<std::byte> buffer(256 * 1024); // the kernel's largest answer is 32 KiB
    for (bool done = false; !done;) {
        const ssize_t got = ::recv(fd->get(), buffer.data(), buffer.size(), 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return std::unexpected(sys_error(errno, "read the devices from rtnetlink"));
        for (LinkInfo& link :
             parse_links(std::span(buffer).first(static_cast<std::size_t>(got)), done)) {
            if (links.size() < kLinksMax)
                links.push_back(std::move(link));
            else
                left_out++;
        }
    }
    return links;
}

} // namespace culprit
