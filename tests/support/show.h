// SPDX-License-Identifier: MIT
// `culprit show` as tests use it: run to its end, rows found by what they are about.
#pragma once

#include "support/run.h"

namespace culprit::test {

/// An incomplete table is a table too; one that could not be made is an error.
inline Json show(const std::string& table, const Culprit::Arguments& more = {}) {
    Culprit::Arguments arguments = {"show", table, "--output", "json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    Culprit culprit(arguments);
    const int status = culprit.wait();
    if ((status != 0 && status != 1 && status != 3) || culprit.out().empty())
        throw std::runtime_error(
            fmt::format("show {} ended with {}: {}", table, status, culprit.err()));
    return Json::parse(culprit.out());
}

/// The rows whose members have these values.
inline std::vector<Json> rows_with(const Json& document, const Json& wanted) {
    std::vector<Json> found;
    for (const Json& row : document["rows"]) {
        bool same = true;
        for (const auto& [name, value] : wanted.items())
            same = same && row.contains(name) && row[name] == value;
        if (same)
            found.push_back(row);
    }
    return found;
}

/// The only such row; throws with all rows when there is none or more than one.
inline Json row_with(const Json& document, const Json& wanted) {
    const auto found = rows_with(document, wanted);
    if (found.size() != 1)
        throw std::runtime_error(fmt::format("{} rows with {} in {}", found.size(), wanted.dump(),
                                             document["rows"].dump(1).substr(0, 20000)));
    return found.front();
}

/// The process of that name in `show dns`; throws with everything when it did not ask.
inline Json client_of(const Json& document, const std::string& comm) {
    for (const Json& client : document["clients"])
        if (client["comm"] == comm)
            return client;
    throw std::runtime_error("nobody called " + comm + " in " + document.dump(1));
}

} // namespace culprit::test
