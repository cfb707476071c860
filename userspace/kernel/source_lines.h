// SPDX-License-Identifier: MIT
// Places in the kernel to source file and line, where the kernel's debug information is installed.
#pragma once

#include <map>
#include <memory>
#include <string>

struct Dwfl;

namespace culprit {

/// Reads the DWARF of vmlinux and of modules at the first question about each (elfutils, libdwfl).
/// Tables of hundreds of megabytes are mapped for that: for what a verdict shows, not for each
/// record.
class SourceLines {
public:
    /// Files of the running kernel, in the folders where distributions put them.
    explicit SourceLines(std::string release);
    ~SourceLines();

    /// "net/core/dev.c:4321" of "symbol+0x12" in that module ("" is the kernel itself); empty when
    /// there is no debug information or no such symbol. The offset is a return address: the line is
    /// that of the call.
    std::string at(const std::string& place, const std::string& module);

    /// The same for one file with debug information, whatever it is.
    static std::string in_file(const std::string& path, const std::string& place);

private:
    struct Close {
        void operator()(Dwfl* dwfl) const;
    };
    using File = std::unique_ptr<Dwfl, Close>;
    static File open(const std::string& path);
    static std::string look_up(Dwfl* file, const std::string& place);
    File open_module(const std::string& module) const;

    std::string x_release;
    std::map<std::string, File> x_files; // module -> its debug information; none: not installed
};

} // namespace culprit
