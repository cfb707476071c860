// SPDX-License-Identifier: MIT
// Two namespaces, in one of which name resolution is watched.
#pragma once

#include "support/name_server.h"
#include "support/run.h"

namespace culprit::test {

/// A name server at side b and who watches side a, whose processes ask.
struct Asking : WiredNs {
    NameServer server{b, b.v4};
    Culprit culprit = watch({"dns", "--netns", a.netns()});
    Asking() { culprit.wait_until_watching(); }
};

inline bool is_about_dns(const Json& event) {
    return event["kind"] == "dns";
}

/// A socket that asks one server.
inline UniqueFd connected_to(const std::string& server) {
    UniqueFd fd = make_socket(server, SOCK_DGRAM, kDeadlineSeconds);
    const Address to = address_of(server, 53);
    must(::connect(fd.get(), to.get(), to.size) == 0, "connect");
    return fd;
}

/// Header of a message with so many questions.
inline std::vector<unsigned char> dns_header(std::size_t id, unsigned char questions = 1) {
    return {static_cast<unsigned char>(id >> 8),
            static_cast<unsigned char>(id),
            1,
            0,
            0,
            questions,
            0,
            0,
            0,
            0,
            0,
            0};
}

} // namespace culprit::test
