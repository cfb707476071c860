// SPDX-License-Identifier: MIT
// Which of several sockets of one address took a connection is not known, so they are summed up.
#include "detect/accept_course.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "model/format.h"

namespace culprit {

namespace {

using Key = std::pair<std::uint32_t, std::string>; // netns, address

Key key_of(const abi_flow& flow) {
    return {flow.netns, endpoint(flow, true)};
}

std::map<Key, AcceptSpell> spells_of(const Window& window) {
    std::map<Key, AcceptSpell> spells;
    for (const auto& [row, info] : window.rows<listen_total>(ABI_LISTEN_TOTAL)) {
        if (!row.flow.family)
            continue; // what did not fit into the table
        AcceptSpell& spell = spells[key_of(row.flow)];
        spell.seconds = window.seconds();
        spell.came += row.established;
        spell.accepted += row.accepted;
        spell.depth += row.looks ? double(row.depth_sum) / double(row.looks) : 0;
    }
    return spells;
}

} // namespace

double AcceptCourse::stands_seconds() const {
    double sum = 0;
    for (auto spell = spells.rbegin(); spell != spells.rend() && spell->stands(); spell++)
        sum += spell->seconds;
    return sum;
}

std::vector<AcceptCourse> accept_courses(const Facts& facts, const Listeners& listeners) {
    std::map<Key, AcceptCourse> courses;
    for (const ListenerFacts& l : listeners.all()) {
        AcceptCourse& course = courses[key_of(l.sum.flow)];
        if (!course.listener || l.sum.depth_sum > course.listener->sum.depth_sum)
            course.listener = &l;
    }
    for (const ListenerFacts& l : listeners.all())
        if (l.trouble != ListenTrouble::kNone)
            courses.erase(key_of(l.sum.flow));
    for (const Window& window : facts.windows) {
        auto spells = spells_of(window);
        for (auto& [key, course] : courses)
            course.spells.push_back(spells[key]);
    }
    std::vector<AcceptCourse> all;
    for (auto& [key, course] : courses)
        all.push_back(std::move(course));
    return all;
}

} // namespace culprit
