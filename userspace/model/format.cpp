// SPDX-License-Identifier: MIT
// Names of kernel enums come from Names (the running kernel's BTF); only what is fixed by RFC or
// uapi is spelled here.
#include "model/format.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <cstring>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "model/identity.h"
#include "util/dns.h"
#include "util/text.h"

namespace culprit {

namespace {

template <typename Map, typename Key>
const std::string* find(const Map& map, const Key& key) {
    const auto it = map.find(key);
    return it == map.end() ? nullptr : &it->second;
}

std::string text_at(std::span<const std::byte> record, const Field& field) {
    const std::string_view all(reinterpret_cast<const char*>(record.data()) + field.offset,
                               field.size);
    return safe_text(all.substr(0, all.find('\0')));
}

std::string address_at(std::span<const std::byte> record, std::size_t offset) {
    __u8 bytes[ABI_ADDR_BYTES];
    std::memcpy(bytes, record.data() + offset, sizeof(bytes));
    return address(value_at<std::uint32_t>(record, offset - 4), bytes);
}

std::string reset_reason(const Field& field, std::span<const std::byte> record, std::uint64_t value,
                         const Names& names) {
    if (!number_at(record, field.offset + 4UL, 4))
        return "-";
    const std::string* name = find(names.reset_reasons, static_cast<std::uint32_t>(value));
    return name ? *name : fmt::format("reason#{}", value);
}

} // namespace

std::string address(const abi_flow& flow, bool local) {
    return address(flow.family, local ? flow.local : flow.remote);
}

std::string address(std::uint32_t family, const __u8 (&bytes)[ABI_ADDR_BYTES]) {
    std::array<char, INET6_ADDRSTRLEN> text{};
    if (family != AF_INET && family != AF_INET6)
        return "-";
    inet_ntop(static_cast<int>(family), bytes, text.data(), text.size());
    return text.data();
}

std::string endpoint(const abi_flow& flow, bool local) {
    const std::uint16_t port = local ? flow.local_port : flow.remote_port;
    const std::string host = address(flow, local);
    if (!port)
        return host;
    return flow.family == AF_INET6 ? fmt::format("[{}]:{}", host, port)
                                   : fmt::format("{}:{}", host, port);
}

const char* tcp_state(std::uint32_t state) {
    static constexpr const char* kStates[] = {
        "-",     "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2",   "TIME_WAIT",
        "CLOSE", "CLOSE_WAIT",  "LAST_ACK", "LISTEN",   "CLOSING",   "NEW_SYN_RECV"};
    return state < std::size(kStates) ? kStates[state] : "?";
}

std::string mac(const MacBytes& bytes) {
    if (std::ranges::none_of(bytes, [](std::uint8_t byte) { return byte; }))
        return "-";
    return fmt::format("{:02x}", fmt::join(std::span(bytes).first<6>(), ":"));
}

std::string errno_name(std::uint32_t error) {
    if (!error)
        return "-";
    const char* name = strerrorname_np(static_cast<int>(error));
    return name ? name : fmt::format("errno#{}", error);
}

std::string ip_protocol(std::uint32_t protocol) {
    switch (protocol) {
    case 0:
        return "-";
    case IPPROTO_TCP:
        return "tcp";
    case IPPROTO_UDP:
        return "udp";
    case IPPROTO_ICMP:
        return "icmp";
    case IPPROTO_ICMPV6:
        return "icmpv6";
    default:
        return fmt::format("{}", protocol);
    }
}

std::string ethertype(std::uint32_t type) {
    switch (type) {
    case 0:
        return "-";
    case 0x0800:
        return "ip";
    case 0x86dd:
        return "ipv6";
    case 0x0806:
        return "arp";
    case 0x88cc:
        return "lldp";
    default:
        return fmt::format("0x{:04x}", type);
    }
}

std::string tcp_flags(std::uint32_t flags) {
    static constexpr char kLetters[] = "FSRPAUEC"; // RFC 9293, 3168
    std::string text;
    for (int bit = 0; bit < 8; bit++)
        if (flags >> bit & 1)
            text += kLetters[bit];
    return text.empty() ? "-" : text;
}

const char* provenance(std::uint32_t value) {
    static constexpr const char* kNames[] = {"unknown", "listener", "holder",
                                             "creator", "writer",   "reader"};
    return value < std::size(kNames) ? kNames[value] : "unknown";
}

std::string drop_reason(std::uint32_t reason, const Names& names) {
    if (const std::string* name = find(names.drop_reasons, reason))
        return *name;
    return reason ? fmt::format("reason#{}", reason) : "-";
}

std::string symbol(std::uint64_t address, const Names& names) {
    if (const std::string* name = find(names.symbols, address))
        return *name;
    return address ? fmt::format("0x{:x}", address) : "-";
}

std::string device(std::uint32_t netns, std::uint32_t ifindex, const Names& names) {
    if (!ifindex)
        return "-";
    const std::string* name = find(names.devices, std::pair(netns, ifindex));
    return name ? safe_text(*name) : fmt::format("if{}", ifindex);
}

std::string netns_name(std::uint32_t netns, const Names& names) {
    if (!netns)
        return "-";
    const std::string* name = find(names.netns, netns);
    return name ? fmt::format("{} ({})", netns, safe_text(*name)) : fmt::format("{}", netns);
}

std::string duration(std::uint64_t ns) {
    const auto value = static_cast<double>(ns);
    // three digits; what would round up to 1000 belongs to the next unit
    if (ns < 1'000)
        return fmt::format("{}ns", ns);
    if (ns < 999'500)
        return fmt::format("{:.3g}us", value / 1e3);
    if (ns < 999'500'000)
        return fmt::format("{:.3g}ms", value / 1e6);
    return value < 999.5e9 ? fmt::format("{:.3g}s", value / 1e9)
                           : fmt::format("{:.0f}s", value / 1e9);
}

std::string owner_name(const abi_owner& owner, const Names& names) {
    if (!owner.tgid)
        return "unknown process";
    return fmt::format("{} (pid {})", safe_text(latest_comm(owner, names)), owner.tgid);
}

std::uint64_t number_at(std::span<const std::byte> record, std::size_t offset, std::size_t size) {
    std::uint64_t value = 0;
    std::memcpy(&value, record.data() + offset, size);
    return value;
}

std::vector<std::string> stack_text(const Field& field, std::span<const std::byte> record,
                                    const Names& names) {
    std::vector<std::string> frames;
    for (std::size_t at = 0; at < field.size; at += 8) {
        const std::uint64_t address = number_at(record, field.offset + at, 8);
        if (!address)
            break;
        frames.push_back(symbol(address, names));
    }
    return frames;
}

std::string field_text(const Field& field, std::span<const std::byte> record, const Names& names) {
    if (field.type == Type::kText)
        return text_at(record, field);
    if (field.type == Type::kAddress)
        return address_at(record, field.offset);
    if (field.type == Type::kDnsName)
        return dns_name(record.subspan(field.offset, field.size));
    const std::uint64_t value = field.size <= 8 ? number_at(record, field.offset, field.size) : 0;
    const auto small = static_cast<std::uint32_t>(value);
    switch (field.type) {
    case Type::kNamed:
        return value < field.names.size() ? field.names[value] : "?";
    case Type::kDurationNs:
        return value ? duration(value) : "-";
    case Type::kDurationUs:
        return value ? duration(value * 1000) : "-";
    case Type::kErrno:
    case Type::kRouteError:
        return errno_name(small);
    case Type::kTcpState:
        return tcp_state(small);
    case Type::kDropReason:
        return drop_reason(small, names);
    case Type::kResetReason:
        return reset_reason(field, record, value, names);
    case Type::kSymbol:
        return symbol(value, names);
    case Type::kEthertype:
        return ethertype(small);
    case Type::kIpProtocol:
        return ip_protocol(small);
    case Type::kTcpFlags:
        return tcp_flags(small);
    case Type::kMac:
        return mac(value_at<MacBytes>(record, field.offset));
    case Type::kDnsType:
        return dns_type(small);
    case Type::kDnsRcode:
        return dns_rcode(small);
    case Type::kHex:
        return fmt::format("{:x}", value);
    case Type::kNetns:
        return netns_name(small, names);
    case Type::kDevice:
        return device(static_cast<std::uint32_t>(number_at(record, field.offset - 4UL, 4)), small,
                      names);
    default:
        return fmt::format("{}", value);
    }
}

} // namespace culprit
