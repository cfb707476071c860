// SPDX-License-Identifier: MIT
// Opens, asks, reads until the kernel says that it is done.
#include "kernel/netlink.h"

#include <linux/netlink.h>

#include <cerrno>

namespace culprit {

namespace {

constexpr std::size_t kRequestBytes = 1024;      // ours are far smaller
constexpr std::size_t kAnswerBytes = 256 * 1024; // the kernel's largest answer is 32 KiB

int hand_over(const nlmsghdr* message, void* each) {
    (*static_cast<const Netlink::Each*>(each))(*message);
    return MNL_CB_OK;
}

/// What is listed may change meanwhile: an entry may be missing or come twice, which is better than
/// no list.
void forgive_changes(std::vector<std::byte>& answer, std::size_t size) {
    int left = static_cast<int>(size);
    auto* message = reinterpret_cast<nlmsghdr*>(answer.data());
    for (; mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left))
        message->nlmsg_flags &= static_cast<__u16>(~NLM_F_DUMP_INTR);
}

} // namespace

NetlinkRequest::NetlinkRequest(std::uint16_t type, std::uint16_t flags) : x_bytes(kRequestBytes) {
    nlmsghdr* message = mnl_nlmsg_put_header(x_bytes.data());
    message->nlmsg_type = type;
    message->nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | flags);
    message->nlmsg_seq = 1;
}

Attributes::Attributes(const nlmsghdr& message, std::size_t body_bytes) {
    mnl_attr_parse(&message, static_cast<unsigned>(body_bytes), &Attributes::add, this);
}

Attributes::Attributes(const nlattr& nest) {
    mnl_attr_parse_nested(&nest, &Attributes::add, this);
}

int Attributes::add(const nlattr* attribute, void* self) {
    auto* into = static_cast<Attributes*>(self);
    into->x_all.try_emplace(mnl_attr_get_type(attribute), attribute);
    into->x_list.push_back(attribute);
    return MNL_CB_OK;
}

std::span<const std::byte> Attributes::payload(std::uint16_t type) const {
    const auto it = x_all.find(type);
    if (it == x_all.end())
        return {};
    return {static_cast<const std::byte*>(mnl_attr_get_payload(it->second)),
            mnl_attr_get_payload_len(it->second)};
}

std::string_view Attributes::text(std::uint16_t type) const {
    const auto bytes = payload(type);
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return text.substr(0, text.find('\0'));
}

Attributes Attributes::nested(std::uint16_t type) const {
    const auto it = x_all.find(type);
    return it == x_all.end() ? Attributes() : Attributes(*it->second);
}

Result<Netlink> Netlink::open(int protocol) {
    Netlink netlink;
    netlink.x_socket.reset(mnl_socket_open2(protocol, SOCK_CLOEXEC));
    if (!netlink.x_socket || mnl_socket_bind(netlink.x_socket.get(), 0, MNL_SOCKET_AUTOPID) < 0)
        return std::unexpected(sys_error(errno, "open netlink"));
    return netlink;
}

void Netlink::choose_by_body() const {
    int on = 1;
    (void)mnl_socket_setsockopt(x_socket.get(), NETLINK_GET_STRICT_CHK, &on, sizeof(on));
}

Result<void> Netlink::ask(NetlinkRequest& request, const Each& each) const {
    const nlmsghdr& head = *request.head();
    const unsigned port = mnl_socket_get_portid(x_socket.get());
    const bool dump = (head.nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
    if (mnl_socket_sendto(x_socket.get(), &head, head.nlmsg_len) < 0)
        return std::unexpected(sys_error(errno, "ask netlink"));
    std::vector<std::byte> buffer(kAnswerBytes);
    for (int more = MNL_CB_OK; more > MNL_CB_STOP;) {
        const ssize_t got = mnl_socket_recvfrom(x_socket.get(), buffer.data(), buffer.size());
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return std::unexpected(sys_error(errno, "read from netlink"));
        forgive_changes(buffer, static_cast<std::size_t>(got));
        more = mnl_cb_run(buffer.data(), static_cast<std::size_t>(got), head.nlmsg_seq, port,
                          &hand_over, const_cast<Each*>(&each));
        if (more < 0)
            return std::unexpected(sys_error(errno, "netlink answers"));
        if (!dump)
            break; // one question, one answer
    }
    return {};
}

} // namespace culprit
