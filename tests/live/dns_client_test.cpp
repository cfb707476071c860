// SPDX-License-Identifier: MIT
// Is each question counted once and told of its process, whatever way a program asks?
#include "support/catch.h"
#include "support/finding.h"
#include "support/name_server.h"
#include "support/show.h"

using namespace culprit;
using namespace culprit::test;

TEST_CASE("each way to ask is counted once, with its process", "[dns_client_test]") {
    constexpr int kTries = 20;
    const WiredNs ns;
    const NameServer server(ns.b, ns.b.v4, "ct-names");
    const NameServer server6(ns.b, ns.b.v6, "ct-names6");
    Culprit culprit(
        {"show", "dns", "--for", "4s", "--output", "json", "--debug", "--netns", ns.a.netns()});
    culprit.wait_until_watching();
    const auto start = [&](const std::string& comm, const std::function<void()>& ask) {
        return Child(ns.a.path(), comm, [=](const Tell&) {
            for (int i = 0; i < kTries; i++, pause_ms(10))
                ask();
            return 0;
        });
    };
    const std::string &v4 = ns.b.v4, &v6 = ns.b.v6;
    Child libc = start("ct-libc", [=] { Resolver(v4).ask("www.example.org"); });
    Child edns =
        start("ct-edns", [=] { Resolver(v4, 1, 1, RES_USE_EDNS0).ask("www.example.org"); });
    Child by_tcp = start("ct-tcp", [=] { Resolver(v4).ask("big.example.org"); });
    Child own = start("ct-own", [=] { ask_once(v6, 53, question_for("www.example.org")); });
    Child both = start("ct-both", [=] {
        const UniqueFd fd = make_socket(v4, SOCK_DGRAM, 1);
        const Address to = address_of(v4, 53);
        must(::connect(fd.get(), to.get(), to.size) == 0, "connect");
        char into[512];
        for (const int type : {ns_t_a, ns_t_aaaa}) {
            const std::string question = question_for("www.example.org", type);
            ::send(fd.get(), question.data(), question.size(), 0);
        }
        for (int i = 0; i < 2; i++)
            must(::recv(fd.get(), into, sizeof(into), 0) > 0, "get an answer");
    });
    for (Child* child : {&libc, &edns, &by_tcp, &own, &both})
        CHECK(child->wait() == 0);
    const Json shown = verdict_of(culprit);
    INFO(shown.dump(1));
    for (const auto& [comm, child, questions, tcp] :
         {std::tuple("ct-libc", &libc, 1, 0), std::tuple("ct-edns", &edns, 1, 0),
          std::tuple("ct-tcp", &by_tcp, 2, 1), std::tuple("ct-own", &own, 1, 0),
          std::tuple("ct-both", &both, 2, 0)}) {
        const Json client = client_of(shown, comm);
        INFO(comm);
        CHECK(client["pid"] == child->pid());
        CHECK(client["questions"] == questions * kTries);
        CHECK(client["answers"] == questions * kTries);
        CHECK(client["tcp_questions"] == tcp * kTries);
    }
    CHECK(client_of(shown, "ct-own")["server"] == end_text(v6, 53));
    CHECK(client_of(shown, "ct-both")["types"].size() == 2);
    CHECK(client_of(shown, "ct-tcp")["truncated"] == kTries);
}
