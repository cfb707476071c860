// SPDX-License-Identifier: MIT
// RTM_GETLINK with NLM_F_DUMP; the kernel answers in messages of attributes (rtnetlink(7)).
#include "kernel/links.h"

#include <linux/if.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

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

void read_stats(Bytes value, LinkInfo& link) {
    const auto stats = take<rtnl_link_stats64>(value);
    link.rx_packets = stats.rx_packets;
    link.tx_packets = stats.tx_packets;
    link.rx_bytes = stats.rx_bytes;
    link.tx_bytes = stats.tx_bytes;
    link.rx_errors = stats.rx_errors;
    link.tx_errors = stats.tx_errors;
    link.rx_dropped = stats.rx_dropped;
    link.tx_dropped = stats.tx_dropped;
}

void read_attribute(unsigned type, Bytes value, LinkInfo& link) {
    switch (type) {
    case IFLA_IFNAME: {
        const std::string_view name(reinterpret_cast<const char*>(value.data()), value.size());
        link.name = name.substr(0, name.find('\0'));
        break;
    }
    case IFLA_MTU:
        link.mtu = take<std::uint32_t>(value);
        break;
    case IFLA_OPERSTATE:
        link.operstate = take<std::uint8_t>(value);
        break;
    case IFLA_CARRIER_CHANGES:
        link.carrier_changes = take<std::uint32_t>(value);
        break;
    case IFLA_STATS64:
        read_stats(value, link);
        break;
    default:
        break;
    }
}

LinkInfo read_link(Bytes body) {
    const auto head = take<ifinfomsg>(body);
    LinkInfo link;
    link.ifindex = static_cast<std::uint32_t>(head.ifi_index);
    link.admin_up = head.ifi_flags & IFF_UP;
    body = body.subspan(std::min(body.size(), std::size_t{NLMSG_ALIGN(sizeof(head))}));
    while (body.size() >= sizeof(rtattr)) {
        const auto attribute = take<rtattr>(body);
        if (attribute.rta_len < sizeof(attribute) || attribute.rta_len > body.size())
            break;
        read_attribute(attribute.rta_type & NLA_TYPE_MASK,
                       body.subspan(sizeof(attribute), attribute.rta_len - sizeof(attribute)),
                       link);
        body = body.subspan(std::min(body.size(), std::size_t{RTA_ALIGN(attribute.rta_len)}));
    }
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

} // namespace

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
