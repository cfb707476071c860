// SPDX-License-Identifier: MIT
// A place is found by its symbol in the file's own table, so the address the kernel was loaded at
// does not matter.
#include "kernel/source_lines.h"

#include <elfutils/libdwfl.h>

#include <charconv>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string_view>

#include <fmt/format.h>

namespace culprit {

namespace {

constexpr Dwfl_Callbacks kCallbacks = {.find_elf = &dwfl_build_id_find_elf,
                                       .find_debuginfo = &dwfl_standard_find_debuginfo,
                                       .section_address = &dwfl_offline_section_address,
                                       .debuginfo_path = nullptr};

struct Place {
    std::string symbol;
    std::uint64_t offset = 0;
};

std::optional<Place> parse_place(const std::string& text) {
    const std::size_t plus = text.find("+0x");
    if (plus == std::string::npos)
        return std::nullopt;
    Place place{text.substr(0, plus), 0};
    const char* end = text.data() + text.size();
    const auto parsed = std::from_chars(text.data() + plus + 3, end, place.offset, 16);
    if (parsed.ec != std::errc{} || parsed.ptr != end)
        return std::nullopt;
    return place;
}

/// Where the symbol is in that file; 0 when it is not there.
GElf_Addr address_of(Dwfl_Module* module, const std::string& symbol) {
    const int count = dwfl_module_getsymtab(module);
    for (int i = 1; i < count; i++) {
        GElf_Sym info;
        GElf_Addr address = 0;
        const char* name =
            dwfl_module_getsym_info(module, i, &info, &address, nullptr, nullptr, nullptr);
        if (name && symbol == name && GELF_ST_TYPE(info.st_info) == STT_FUNC)
            return address;
    }
    return 0;
}

/// The path below the kernel's own folder: "/build/linux-6.18/net/core/dev.c" -> "net/core/dev.c".
std::string below_source(std::string_view path) {
    if (const std::size_t folder = path.rfind("/linux-"); folder != std::string_view::npos)
        if (const std::size_t slash = path.find('/', folder + 1); slash != std::string_view::npos)
            return std::string(path.substr(slash + 1));
    while (path.starts_with("./") || path.starts_with("../"))
        path.remove_prefix(path.find('/') + 1);
    return std::string(path);
}

struct Question {
    const Place& place;
    std::string answer;
};

int ask(Dwfl_Module* module, void**, const char*, Dwarf_Addr, void* data) {
    auto* question = static_cast<Question*>(data);
    const GElf_Addr at = address_of(module, question->place.symbol);
    const std::uint64_t back = question->place.offset ? 1 : 0; // into the call itself
    Dwfl_Line* line = at ? dwfl_module_getsrc(module, at + question->place.offset - back) : nullptr;
    int number = 0;
    const char* file =
        line ? dwfl_lineinfo(line, nullptr, &number, nullptr, nullptr, nullptr) : nullptr;
    if (!file)
        return DWARF_CB_OK;
    question->answer = fmt::format("{}:{}", below_source(file), number);
    return DWARF_CB_ABORT;
}

} // namespace

void SourceLines::Close::operator()(Dwfl* dwfl) const {
    dwfl_end(dwfl);
}

SourceLines::SourceLines(std::string release) : x_release(std::move(release)) {}
SourceLines::~SourceLines() = default;

SourceLines::File SourceLines::open(const std::string& path) {
    std::error_code none;
    if (!std::filesystem::exists(path, none))
        return nullptr;
    File file(dwfl_begin(&kCallbacks));
    if (!file || !dwfl_report_offline(file.get(), path.c_str(), path.c_str(), -1))
        return nullptr;
    dwfl_report_end(file.get(), nullptr, nullptr);
    return file;
}

std::string SourceLines::look_up(Dwfl* file, const std::string& text) {
    const auto place = parse_place(text);
    if (!file || !place)
        return {};
    Question question{*place, {}};
    dwfl_getmodules(file, &ask, &question, 0);
    return question.answer;
}

std::string SourceLines::in_file(const std::string& path, const std::string& place) {
    return look_up(open(path).get(), place);
}

/// modules.dep lists each module with its path: "kernel/net/netfilter/nf_tables.ko.xz: ...".
SourceLines::File SourceLines::open_module(const std::string& module) const {
    const std::string modules = "/lib/modules/" + x_release + "/";
    std::ifstream list(modules + "modules.dep");
    for (std::string line; std::getline(list, line);) {
        const std::string path = line.substr(0, line.find(':'));
        const std::size_t end = path.find(".ko");
        const std::size_t slash = path.rfind('/');
        if (end == std::string::npos || slash == std::string::npos || slash > end)
            continue;
        std::string name = path.substr(slash + 1, end - slash - 1);
        for (char& c : name)
            c = c == '-' ? '_' : c;
        if (name != module)
            continue;
        const std::string ko = path.substr(0, end + 3);
        for (const char* ending : {"", ".debug"})
            if (File file = open("/usr/lib/debug" + modules + ko + ending))
                return file;
        return open(modules + ko);
    }
    return nullptr;
}

std::string SourceLines::at(const std::string& place, const std::string& module) {
    const auto [it, fresh] = x_files.try_emplace(module);
    if (fresh && !module.empty())
        it->second = open_module(module);
    if (fresh && module.empty())
        for (const std::string& path :
             {"/usr/lib/debug/boot/vmlinux-" + x_release,
              "/usr/lib/debug/lib/modules/" + x_release + "/vmlinux",
              "/lib/modules/" + x_release + "/build/vmlinux", "/boot/vmlinux-" + x_release})
            if (!it->second)
                it->second = open(path);
    return look_up(it->second.get(), place);
}

} // namespace culprit
