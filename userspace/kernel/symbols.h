// SPDX-License-Identifier: MIT
// Kernel addresses to symbol+offset.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace culprit {

/// Text symbols of /proc/kallsyms in one sorted table (about 5 MB for 120 000 of them), read at the
/// first question.
class Symbols {
public:
    /// "tcp_v4_rcv+0x85"; "0xffffffff81234567" when the kernel shows no addresses (CAP_SYSLOG is
    /// missing).
    std::string name(std::uint64_t address);
    /// The module it is in; empty for the kernel itself.
    std::string module(std::uint64_t address);

private:
    struct Symbol {
        std::uint64_t address;
        std::uint32_t name; // offset into x_names, NUL terminated: name, then module
    };
    void load();
    const Symbol* find(std::uint64_t address);

    bool x_loaded = false;
    std::vector<Symbol> x_symbols;
    std::string x_names;
};

} // namespace culprit
