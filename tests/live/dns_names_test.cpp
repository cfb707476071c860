// SPDX-License-Identifier: MIT
// Does the program in the kernel take of hostile questions what the decoder of names does, which is
// held against another one in tests/fuzz?
#include <random>
#include <set>

#include "support/asking.h"
#include "support/catch.h"
#include "util/dns.h"

using namespace culprit;
using namespace culprit::test;

namespace {

using Bytes = std::vector<unsigned char>;
using Random = std::mt19937;

constexpr std::size_t kTypeAndClass = 4;

Bytes label(std::size_t length, unsigned char byte = 'x') {
    Bytes bytes(length + 1, byte);
    bytes[0] = static_cast<unsigned char>(length);
    return bytes;
}

Bytes operator+(Bytes left, const Bytes& right) {
    left.insert(left.end(), right.begin(), right.end());
    return left;
}

Bytes times(std::size_t count, const Bytes& bytes) {
    Bytes all;
    for (; count; count--)
        all = all + bytes;
    return all;
}

const Bytes kEnd{0, 0, 1, 0, 1}; // root, A, IN

/// Three labels of 63 bytes and one that makes the name that long, the root's length included.
Bytes name_of(std::size_t bytes) {
    return times(3, label(63)) + label(bytes - 3 * 64 - 2) + kEnd;
}

/// Labels of any bytes, in some of them one byte or the length wrong.
Bytes nearly_a_question(Random& random) {
    Bytes bytes;
    for (std::size_t labels = random() % 6; labels; labels--)
        bytes = bytes + label(1 + random() % (random() % 4 ? 12U : 63U));
    for (unsigned char& byte : bytes)
        if (byte == 'x')
            byte = static_cast<unsigned char>(random());
    bytes = bytes + kEnd;
    if (random() % 4 == 0)
        bytes[random() % bytes.size()] = static_cast<unsigned char>(random());
    if (random() % 4 == 0)
        bytes.resize(random() % bytes.size());
    return bytes;
}

/// The name the decoder sees in what follows a header; "-" when there is no whole question.
std::string expected(Bytes bytes) {
    for (unsigned char& byte : bytes)
        if (byte >= 'A' && byte <= 'Z')
            byte = static_cast<unsigned char>(byte | 0x20);
    std::size_t end = 0;
    while (end < bytes.size() && bytes[end])
        end += bytes[end] + 1UL;
    if (end + 1 + kTypeAndClass > bytes.size())
        return "-";
    return dns_name(std::as_bytes(std::span(bytes)));
}

/// Questions from one socket, each with an id of its own, to a server that answers all it can.
class Asker {
public:
    explicit Asker(const std::string& server) : x_fd(connected_to(server)) {}

    void ask(const Bytes& question, unsigned char questions = 1) {
        const Bytes message = dns_header(++x_id, questions) + question;
        must(::send(x_fd.get(), message.data(), message.size(), 0) > 0, "send");
        pollfd ready{x_fd.get(), POLLIN, 0};
        char into[512];
        if (message.size() >= NameServer::kShortest && ::poll(&ready, 1, 1000) == 1)
            ::recv(x_fd.get(), into, sizeof(into), 0);
    }

private:
    UniqueFd x_fd;
    std::size_t x_id = 0;
};

/// Names that are told, once the last question is.
std::set<std::string> told(const Asking& ns) {
    ns.a.in([&] { Asker(ns.b.v4).ask(label(4, 'z') + kEnd); });
    ns.culprit.await([](const Json& e) { return e["name"] == "zzzz."; });
    std::set<std::string> names;
    for (const Json& event : ns.culprit.events(is_about_dns))
        names.insert(event["name"].get<std::string>());
    names.erase("zzzz.");
    return names;
}

} // namespace

TEST_CASE("what is no question is none, whatever it looks like", "[dns_names_test]") {
    const Asking ns;
    ns.a.in([&] {
        Asker asker(ns.b.v4);
        asker.ask(Bytes{0xc0, 12, 0, 1, 0, 1});               // a pointer to itself
        asker.ask(label(3) + Bytes{0xc0, 12, 0, 1, 0, 1});    // one behind a label
        asker.ask(label(64) + kEnd);                          // too long a label
        asker.ask(label(255) + kEnd);                         // the longest that can be told
        asker.ask(Bytes{3, 'x', 'x'});                        // ends inside of a label
        asker.ask(times(8, label(63)));                       // never ends
        asker.ask(times(300, label(1)));                      // the same with more labels
        asker.ask(name_of(256));                              // a byte too long
        asker.ask(label(3, 'n') + Bytes{0, 0, 1, 0});         // no class
        asker.ask(label(3, 'q') + kEnd, 0);                   // no question
        asker.ask(label(3, 'r') + kEnd + label(3) + kEnd, 2); // two
        asker.ask({});
    });
    CHECK(told(ns).empty());
}

TEST_CASE("the longest name is read to its end, and any byte in it", "[dns_names_test]") {
    const Asking ns;
    const Bytes odd{4, '.', 0, 0xff, 'A'};
    ns.a.in([&] {
        Asker asker(ns.b.v4);
        asker.ask(name_of(255));
        asker.ask(odd + kEnd);
        asker.ask(kEnd);
    });
    CHECK(told(ns) == std::set<std::string>{expected(name_of(255)), R"(\.\000\255a.)", "."});
}

TEST_CASE("of random bytes it takes what the decoder takes", "[dns_names_test]") {
    constexpr int kMessages = 400;
    const Asking ns;
    Random random(1);
    std::set<std::string> names;
    ns.a.in([&] {
        Asker asker(ns.b.v4);
        for (int i = 0; i < kMessages; i++) {
            const Bytes question = nearly_a_question(random);
            names.insert(expected(question));
            asker.ask(question);
            ::poll(nullptr, 0, 1); // of many at once not all are told
        }
    });
    names.erase("-");
    CHECK(names.size() > kMessages / 4);
    CHECK(told(ns) == names);
}
