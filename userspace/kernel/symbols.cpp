// SPDX-License-Identifier: MIT
// /proc/kallsyms: "ffffffff81000000 T _text [module]" per line.
#include "kernel/symbols.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <memory>

#include <fmt/format.h>

namespace culprit {

namespace {

struct FileClose {
    void operator()(std::FILE* f) const { std::fclose(f); }
};

} // namespace

void Symbols::load() {
    x_loaded = true;
    const std::unique_ptr<std::FILE, FileClose> file(std::fopen("/proc/kallsyms", "re"));
    // room for a large kernel: pages that are not written to take no memory, while growing would
    // leave copies behind
    x_symbols.reserve(400'000);
    x_names.reserve(16'000'000);
    char line[512];
    while (file && std::fgets(line, sizeof(line), file.get())) {
        std::uint64_t address = 0;
        const auto [end, error] = std::from_chars(line, line + sizeof(line), address, 16);
        if (error != std::errc{} || !address || end[0] != ' ' ||
            !std::string_view("tTwW").contains(end[1]))
            continue;
        const std::string_view rest(end + 3);
        x_symbols.push_back({address, static_cast<std::uint32_t>(x_names.size())});
        x_names.append(rest.substr(0, rest.find_first_of("\t\n ")));
        x_names += '\0';
        const std::size_t open = rest.find('['), close = rest.find(']');
        if (open != std::string_view::npos && close != std::string_view::npos && close > open)
            x_names.append(rest.substr(open + 1, close - open - 1));
        x_names += '\0';
    }
    if (!std::ranges::is_sorted(x_symbols, {}, &Symbol::address))
        std::ranges::stable_sort(x_symbols, {}, &Symbol::address);
}

/// Several symbols may share an address: the first in the file is the one the kernel prints.
const Symbols::Symbol* Symbols::find(std::uint64_t address) {
    if (!x_loaded)
        load();
    const auto after = std::ranges::upper_bound(x_symbols, address, {}, &Symbol::address);
    if (after == x_symbols.begin())
        return nullptr;
    const std::uint64_t base = std::prev(after)->address;
    return &*std::ranges::lower_bound(x_symbols, base, {}, &Symbol::address);
}

std::string Symbols::name(std::uint64_t address) {
    const Symbol* symbol = find(address);
    if (!symbol)
        return fmt::format("0x{:x}", address);
    return fmt::format("{}+0x{:x}", x_names.c_str() + symbol->name, address - symbol->address);
}

std::string Symbols::module(std::uint64_t address) {
    const Symbol* symbol = find(address);
    if (!symbol)
        return {};
    const char* text = x_names.c_str() + symbol->name;
    return text + std::string_view(text).size() + 1;
}

} // namespace culprit
