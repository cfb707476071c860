// SPDX-License-Identifier: MIT
// Does nothing stay in the kernel after culprit, however it ended?
#include <linux/bpf.h>

#include <filesystem>
#include <set>

#include "support/catch.h"
#include "support/run.h"
#include "support/two_ns.h"
#include "util/text.h"

using namespace culprit;
using namespace culprit::test;

namespace {

/// Ids of the BPF objects of one type that a process holds open.
std::set<std::uint32_t> ids_of(pid_t pid, const std::string& label) {
    std::set<std::uint32_t> ids;
    for (const auto& entry :
         std::filesystem::directory_iterator(fmt::format("/proc/{}/fdinfo", pid))) {
        const std::string text = read_file(entry.path().string()).value_or("");
        const std::size_t at = text.find("\n" + label + ":\t");
        if (at == std::string::npos)
            continue;
        const std::size_t number = at + label.size() + 3;
        if (const auto id = to_number(text.substr(number, text.find('\n', number) - number)))
            ids.insert(static_cast<std::uint32_t>(*id));
    }
    return ids;
}

bool exists(bpf_cmd by_id, std::uint32_t id) {
    bpf_attr attr{};
    attr.prog_id = id; // the same place for programs, maps and links
    const UniqueFd fd(static_cast<int>(::syscall(SYS_bpf, by_id, &attr, sizeof(attr))));
    return bool(fd);
}

struct Held {
    std::set<std::uint32_t> programs, maps, links;
};

Held held_by(const Culprit& culprit) {
    const Held held = {ids_of(culprit.pid(), "prog_id"), ids_of(culprit.pid(), "map_id"),
                       ids_of(culprit.pid(), "link_id")};
    REQUIRE(held.programs.size() >= 6);
    REQUIRE(held.maps.size() >= 6);
    REQUIRE(held.links.size() >= 6);
    for (const std::uint32_t id : held.programs)
        REQUIRE(exists(BPF_PROG_GET_FD_BY_ID, id));
    return held;
}

void check_gone(const Held& held) {
    const auto gone = [](bpf_cmd by_id, const std::set<std::uint32_t>& ids) {
        return eventually(
            [&] {
                return std::ranges::none_of(ids,
                                            [&](std::uint32_t id) { return exists(by_id, id); });
            },
            5);
    };
    CHECK(gone(BPF_LINK_GET_FD_BY_ID, held.links));
    CHECK(gone(BPF_PROG_GET_FD_BY_ID, held.programs));
    CHECK(gone(BPF_MAP_GET_FD_BY_ID, held.maps));
}

} // namespace

TEST_CASE("a stopped culprit leaves no program, map or link", "[leftovers_test]") {
    need_root();
    Culprit culprit = watch({});
    culprit.wait_until_watching();
    const Held held = held_by(culprit);
    CHECK(culprit.stop() == 0);
    check_gone(held);
}

TEST_CASE("a killed culprit leaves no program, map or link", "[leftovers_test]") {
    need_root();
    Culprit culprit = watch({});
    culprit.wait_until_watching();
    const Held held = held_by(culprit);
    ::kill(culprit.pid(), SIGKILL);
    CHECK(culprit.wait() == 128 + SIGKILL);
    check_gone(held);
}
