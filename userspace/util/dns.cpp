// SPDX-License-Identifier: MIT
// Bounds are checked before each byte; the text of a name is at most four times as long as the
// name.
#include "util/dns.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include <fmt/format.h>

namespace culprit {

namespace {

constexpr std::size_t kNameMax = 255; // RFC 1035 section 2.3.4
constexpr std::size_t kLabelMax = 63;

void add_byte(std::string& text, unsigned char byte) {
    constexpr std::string_view kEscaped = ".;()\\";
    if (byte <= 0x20 || byte >= 0x7f)
        fmt::format_to(std::back_inserter(text), "\\{:03}", byte);
    else if (kEscaped.find(static_cast<char>(byte)) != std::string_view::npos)
        (text += '\\') += static_cast<char>(byte);
    else
        text += static_cast<char>(byte);
}

} // namespace

std::string dns_name(std::span<const std::byte> wire) {
    std::string text;
    wire = wire.first(std::min(wire.size(), kNameMax));
    for (std::size_t at = 0; at < wire.size();) {
        const auto length = std::to_integer<std::size_t>(wire[at++]);
        if (!length)
            return text.empty() ? "." : text;
        if (length > kLabelMax || length > wire.size() - at)
            return "-";
        for (const std::byte byte : wire.subspan(at, length))
            add_byte(text, std::to_integer<unsigned char>(byte));
        text += '.';
        at += length;
    }
    return "-";
}

std::string dns_type(std::uint32_t type) {
    using Known = std::pair<std::uint32_t, const char*>;
    static constexpr auto kTypes = std::to_array<Known>(
        {{1, "A"},      {2, "NS"},     {5, "CNAME"},  {6, "SOA"},     {12, "PTR"},   {15, "MX"},
         {16, "TXT"},   {28, "AAAA"},  {33, "SRV"},   {35, "NAPTR"},  {39, "DNAME"}, {43, "DS"},
         {44, "SSHFP"}, {46, "RRSIG"}, {47, "NSEC"},  {48, "DNSKEY"}, {50, "NSEC3"}, {52, "TLSA"},
         {64, "SVCB"},  {65, "HTTPS"}, {251, "IXFR"}, {252, "AXFR"},  {255, "ANY"},  {257, "CAA"}});
    for (const auto& [number, name] : kTypes)
        if (number == type)
            return name;
    return type ? fmt::format("TYPE{}", type) : "-";
}

std::string dns_rcode(std::uint32_t rcode) {
    static constexpr const char* kCodes[] = {"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN",
                                             "NOTIMP",  "REFUSED", "YXDOMAIN", "YXRRSET",
                                             "NXRRSET", "NOTAUTH", "NOTZONE"};
    if (rcode < std::size(kCodes))
        return kCodes[rcode];
    return rcode < 16 ? fmt::format("RCODE{}", rcode) : "-";
}

} // namespace culprit
