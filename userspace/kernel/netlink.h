// SPDX-License-Identifier: MIT
// Questions to the kernel over netlink (libmnl), and the attributes of its answers.
#pragma once

#include <libmnl/libmnl.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "util/result.h"

namespace culprit {

/// A request: its type, a fixed body, attributes behind it.
class NetlinkRequest {
public:
    /// NLM_F_REQUEST is added to the flags; NLM_F_DUMP asks for all.
    NetlinkRequest(std::uint16_t type, std::uint16_t flags);

    template <typename Body>
    NetlinkRequest& body(const Body& body) {
        std::memcpy(mnl_nlmsg_put_extra_header(head(), sizeof(body)), &body, sizeof(body));
        return *this;
    }
    template <typename Value>
    NetlinkRequest& attribute(std::uint16_t type, const Value& value) {
        mnl_attr_put(head(), type, sizeof(value), &value);
        return *this;
    }
    NetlinkRequest& text(std::uint16_t type, const std::string& value) {
        mnl_attr_put_strz(head(), type, value.c_str());
        return *this;
    }
    nlmsghdr* head() { return reinterpret_cast<nlmsghdr*>(x_bytes.data()); }

private:
    std::vector<std::byte> x_bytes;
};

/// The attributes of one level, by type; later ones of the same type are not kept. Points into the
/// message.
class Attributes {
public:
    /// Those behind a fixed body of that size.
    Attributes(const nlmsghdr& message, std::size_t body_bytes);
    explicit Attributes(const nlattr& nest);

    bool has(std::uint16_t type) const { return x_all.contains(type); }
    /// What is shorter than T is filled up with zeros, what is longer is cut; `otherwise` when
    /// there is no such attribute.
    template <typename T>
    T value(std::uint16_t type, T otherwise = {}) const {
        const auto bytes = payload(type);
        if (!has(type))
            return otherwise;
        T value{};
        std::memcpy(&value, bytes.data(), std::min(bytes.size(), sizeof(value)));
        return value;
    }
    std::span<const std::byte> payload(std::uint16_t type) const;
    /// Up to the first 0; hostile bytes.
    std::string_view text(std::uint16_t type) const;
    /// What is nested in it; nothing when there is none.
    Attributes nested(std::uint16_t type) const;
    /// All of this level in their order, for lists.
    const std::vector<const nlattr*>& list() const { return x_list; }

private:
    Attributes() = default;
    static int add(const nlattr* attribute, void* self);

    std::map<std::uint16_t, const nlattr*> x_all;
    std::vector<const nlattr*> x_list;
};

/// The fixed body of a message; zeros when it is too short.
template <typename Body>
Body netlink_body(const nlmsghdr& message) {
    Body body{};
    if (mnl_nlmsg_get_payload_len(&message) >= sizeof(body))
        std::memcpy(&body, mnl_nlmsg_get_payload(&message), sizeof(body));
    return body;
}

/// A socket in the network namespace this thread is in when it is opened. Keeps that namespace
/// alive: not to be kept.
class Netlink {
public:
    using Each = std::function<void(const nlmsghdr&)>;

    /// protocol: NETLINK_ROUTE, NETLINK_NETFILTER ...
    static Result<Netlink> open(int protocol);
    /// From now on a dump lists only what fits the request's body (NETLINK_GET_STRICT_CHK, Linux
    /// 4.20); without it, all.
    void choose_by_body() const;
    /// Hands over each answer. An error the kernel answers with is one of ours.
    Result<void> ask(NetlinkRequest& request, const Each& each) const;

private:
    struct Close {
        void operator()(mnl_socket* socket) const { mnl_socket_close(socket); }
    };
    std::unique_ptr<mnl_socket, Close> x_socket;
};

} // namespace culprit
