// SPDX-License-Identifier: MIT
// What `diagnose --save` wrote, as the windows it was made from.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>

#include "model/window.h"
#include "model/window_json.h"

namespace culprit::test {

/// A file name in a folder of its own, which goes with this object.
class SaveFile {
public:
    SaveFile() {
        std::string pattern =
            (std::filesystem::temp_directory_path() / "culprit-test-save-").string() +
            std::string(6, 'X');
        if (!::mkdtemp(pattern.data()))
            throw std::runtime_error("no temporary folder");
        x_folder = pattern;
    }
    SaveFile(const SaveFile&) = delete;
    SaveFile& operator=(const SaveFile&) = delete;
    ~SaveFile() {
        std::error_code ignored;
        std::filesystem::remove_all(x_folder, ignored);
    }

    std::string path() const { return (x_folder / "windows.ndjson").string(); }

    /// All windows folded into one.
    Window total() const {
        History history;
        std::ifstream file(path());
        for (std::string line; std::getline(file, line);) {
            auto window = window_from_json(line);
            if (!window)
                throw std::runtime_error(window.error().what);
            history.add(std::move(*window));
        }
        return history.total();
    }

private:
    std::filesystem::path x_folder;
};

} // namespace culprit::test
