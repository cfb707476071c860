// SPDX-License-Identifier: MIT
// Does our decoder of names read hostile bytes as ldns does, and nothing beyond them?
// usage: dns_name_fuzz [MESSAGES [SEED]]
#include <ldns/ldns.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "util/dns.h"

namespace {

using Random = std::mt19937_64;
using Bytes = std::vector<unsigned char>; // on the heap, so that a byte too far is noticed

Bytes noise(Random& random) {
    Bytes bytes(random() % 300);
    for (unsigned char& byte : bytes)
        byte = static_cast<unsigned char>(random());
    return bytes;
}

/// Labels of all lengths that are allowed, some names longer than allowed, one byte in some wrong.
Bytes nearly_a_name(Random& random) {
    Bytes bytes;
    for (std::size_t labels = random() % 8; labels; labels--) {
        const std::size_t length = random() % 4 ? 1 + random() % 12 : 1 + random() % 63;
        bytes.push_back(static_cast<unsigned char>(length));
        for (std::size_t i = 0; i < length; i++)
            bytes.push_back(static_cast<unsigned char>(random()));
    }
    bytes.push_back(0);
    if (random() % 4 == 0)
        bytes[random() % bytes.size()] = static_cast<unsigned char>(random());
    if (random() % 8 == 0)
        bytes.resize(random() % bytes.size());
    return bytes;
}

/// Ours are questions as a kernel copies them: a pointer into a message has nothing to point to.
bool has_pointer(const Bytes& bytes) {
    for (std::size_t at = 0; at < bytes.size() && bytes[at]; at += bytes[at] + 1UL)
        if (bytes[at] >= 0xc0)
            return true;
    return false;
}

std::string by_ldns(const Bytes& bytes) {
    ldns_rdf* name = nullptr;
    std::size_t at = 0;
    if (has_pointer(bytes) || bytes.empty() ||
        ldns_wire2dname(&name, bytes.data(), bytes.size(), &at) != LDNS_STATUS_OK)
        return "-";
    const std::unique_ptr<char, void (*)(void*)> text(ldns_rdf2str(name), std::free);
    ldns_rdf_deep_free(name);
    return text.get();
}

} // namespace

int main(int argc, char** argv) {
    const unsigned long messages = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 200'000;
    Random random(argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 1);
    unsigned long names = 0;
    for (unsigned long i = 0; i < messages; i++) {
        const Bytes bytes = random() % 4 ? nearly_a_name(random) : noise(random);
        const std::string ours = culprit::dns_name(std::as_bytes(std::span(bytes)));
        const std::string theirs = by_ldns(bytes);
        names += ours != "-";
        if (ours == theirs)
            continue;
        std::printf("message %lu: ours '%s', ldns '%s'\n", i, ours.c_str(), theirs.c_str());
        return 1;
    }
    std::printf("%lu messages, %lu of them names: as ldns reads them\n", messages, names);
    return 0;
}
