// SPDX-License-Identifier: MIT
// A storm is folded without asking for memory: only a row that is new does that.
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <new>

#include "model/window.h"
#include "support/catch.h"
#include "support/event_builder.h"

#ifdef __SANITIZE_ADDRESS__
// of sanitizer/allocator_interface.h, which GCC does not come with everywhere
extern "C" int __sanitizer_install_malloc_and_free_hooks(void (*)(const volatile void*,
                                                                  std::size_t),
                                                         void (*)(const volatile void*));
#endif

namespace {

std::size_t allocations = 0;

} // namespace

// counts for the whole test program
#ifdef __SANITIZE_ADDRESS__
const int counts_allocations = __sanitizer_install_malloc_and_free_hooks(
    [](const volatile void*, std::size_t) { allocations++; }, [](const volatile void*) {});
#else
void* operator new(std::size_t size) {
    allocations++;
    if (void* memory = std::malloc(size))
        return memory;
    throw std::bad_alloc();
}
void operator delete(void* memory) noexcept {
    std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
    std::free(memory);
}
#endif

using namespace culprit;
using namespace culprit::test;

namespace {

constexpr std::uint16_t kRows = 500;

close_event closed(std::uint16_t port) {
    auto record = make<close_event>(kSecondNs);
    record.flow = tcp_flow("10.0.0.1", port, "10.0.0.2", 80);
    record.owner = process("server", 42);
    record.last_state = port; // part of the key
    record.bytes_sent = 1000;
    return record;
}

std::vector<close_event> many() {
    std::vector<close_event> records;
    for (std::uint16_t port = 1; port <= kRows; port++)
        records.push_back(closed(port));
    return records;
}

void fold(Window& window, const std::vector<close_event>& records) {
    for (const close_event& record : records)
        window.fold(bytes_of(record));
}

} // namespace

TEST_CASE("a record of a row that is there takes no memory", "[fold_test]") {
    const std::vector<close_event> records = many();
    Window window;
    fold(window, records);
    REQUIRE(window.tables.at(ABI_CLOSE).size() == kRows);
    const std::size_t before = allocations;
    REQUIRE(before > 0); // they are counted here
    for (int i = 0; i < 100; i++)
        fold(window, records);
    CHECK(allocations == before);
    CHECK(window.tables.at(ABI_CLOSE).info(0).count == 101);
}

TEST_CASE("how many records a second are folded", "[.][fold_test]") {
    constexpr int kRounds = 1000;
    const std::vector<close_event> records = many();
    Window window;
    const auto began = std::chrono::steady_clock::now();
    for (int i = 0; i < kRounds; i++)
        fold(window, records);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
    std::cout << static_cast<std::size_t>(kRounds * kRows / took.count())
              << " records per second\n";
}
