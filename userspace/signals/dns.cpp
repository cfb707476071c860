// SPDX-License-Identifier: MIT
// Name resolution: how each question ended, and exact counts per process, server and type.
#include "dns.skel.h"
#include "signals/all.h"
#include "signals/dns_totals.h"

#include "abi/dns.h"

namespace culprit {

namespace {

constexpr const char* kOutcomes[] = {"answered", "no-answer", "failed", "unread"};
constexpr const char* kRoles[] = {"client", "server"};

constexpr Field kFields[] = {
    CULPRIT_NAMED(dns_event, outcome, "how the question ended", kOutcomes),
    CULPRIT_FIELD(dns_event, name, Type::kDnsName, "what was asked for"),
    CULPRIT_FIELD(dns_event, type, Type::kDnsType, "type of record that was asked for"),
    CULPRIT_FIELD(dns_event, rcode, Type::kDnsRcode, "response code"),
    CULPRIT_FIELD(dns_event, error, Type::kErrno, "what the kernel reported instead"),
    CULPRIT_FIELD(dns_event, latency_ns, Type::kDurationNs,
                  "from the last repeat of the question to the reading of the answer"),
    CULPRIT_FIELD(dns_event, waited_ns, Type::kDurationNs, "since it was first asked"),
    CULPRIT_FIELD(dns_event, retries, Type::kNumber, "times it was asked before"),
    CULPRIT_FIELD(dns_event, answers, Type::kNumber, "records in the answer"),
    CULPRIT_FIELD(dns_event, truncated, Type::kNumber, "1: the answer did not fit"),
    CULPRIT_FIELD(dns_event, authoritative, Type::kNumber, "1: the server is an authority"),
    CULPRIT_FIELD(dns_event, authentic, Type::kNumber, "1: the server has checked signatures"),
    CULPRIT_FIELD(dns_event, flow, Type::kFlow, "the asking socket and the server"),
    CULPRIT_FIELD(dns_event, owner, Type::kOwner, "the process that asked"),
    CULPRIT_FIELD(dns_event, name_hash, Type::kHex, "FNV-1a of the name"),
};
constexpr Part kKey[] = {
    CULPRIT_PART(dns_event, flow.remote), CULPRIT_PART(dns_event, flow.remote_port),
    CULPRIT_PART(dns_event, flow.family), CULPRIT_PART(dns_event, flow.protocol),
    CULPRIT_PART(dns_event, flow.netns),  CULPRIT_OWNER_PART(dns_event, owner),
    CULPRIT_PART(dns_event, name_hash),   CULPRIT_PART(dns_event, type),
    CULPRIT_PART(dns_event, outcome),     CULPRIT_PART(dns_event, rcode),
    CULPRIT_PART(dns_event, error),
};
constexpr Part kSums[] = {CULPRIT_PART(dns_event, latency_ns)};
constexpr Part kMaxima[] = {CULPRIT_PART(dns_event, waited_ns), CULPRIT_PART(dns_event, retries)};

constexpr Kind kDns = {ABI_DNS,
                       "dns",
                       "questions to name servers and how they ended",
                       sizeof(dns_event),
                       true,
                       kFields,
                       kKey,
                       kSums,
                       kMaxima};

#define COUNT(member, type, help)                                                                  \
    { #member, type, offsetof(dns_total, counts.member), sizeof(dns_counts::member), help }

constexpr Field kTotalFields[] = {
    CULPRIT_FIELD(dns_total, flow, Type::kFlow, "the server; the own port of a server"),
    CULPRIT_FIELD(dns_total, owner, Type::kOwner, "the process that asks or serves"),
    CULPRIT_NAMED(dns_total, role, "asks, or serves", kRoles),
    CULPRIT_FIELD(dns_total, type, Type::kDnsType, "type of record that was asked for"),
    COUNT(questions, Type::kNumber, "sent, repeats too; by a server: received"),
    COUNT(answers, Type::kNumber, "received; by a server: sent"),
    COUNT(silent, Type::kNumber, "questions without an answer in time"),
    COUNT(failed, Type::kNumber, "questions that ended with an error"),
    COUNT(unread, Type::kNumber, "questions whose answer could not be looked at"),
    COUNT(late, Type::kNumber, "answers to questions that were given up"),
    COUNT(retries, Type::kNumber, "questions that were asked before"),
    COUNT(no_error, Type::kNumber, "answers without error"),
    COUNT(servfail, Type::kNumber, "answers SERVFAIL"),
    COUNT(nxdomain, Type::kNumber, "answers NXDOMAIN"),
    COUNT(refused, Type::kNumber, "answers REFUSED"),
    COUNT(empty, Type::kNumber, "answers without error and without a record"),
    COUNT(truncated, Type::kNumber, "answers that did not fit"),
    COUNT(latency_ns, Type::kDurationNs, "sum over the answers"),
    COUNT(latency_max_ns, Type::kDurationNs, "longest ever"),
    COUNT(slots, Type::kHistogram, "latencies"),
};
constexpr Part kTotalKey[] = {
    CULPRIT_PART(dns_total, flow),
    CULPRIT_OWNER_PART(dns_total, owner),
    CULPRIT_PART(dns_total, type),
    CULPRIT_PART(dns_total, role),
};
constexpr Part kTotalSums[] = {
    {offsetof(dns_total, counts), offsetof(dns_counts, latency_max_ns)},
    CULPRIT_PART(dns_total, counts.slots),
};
constexpr Part kTotalMaxima[] = {CULPRIT_PART(dns_total, counts.latency_max_ns)};

constexpr Kind kDnsTotal = {ABI_DNS_TOTAL,     "dns_total", "name resolution by process and server",
                            sizeof(dns_total), false,       kTotalFields,
                            kTotalKey,         kTotalSums,  kTotalMaxima};
constexpr const Kind* kKinds[] = {&kDns, &kDnsTotal};

constexpr Hook kHooks[] = {
    {"net_dev_queue", "dns_sent", true, "", {}, true},
    {"sock_recv_length", "dns_read", true, ""},
    {"sock_send_length", "dns_streamed", false, "questions over TCP are not seen"},
    {"inet_sk_error_report", "dns_refused", false,
     "a question that met an ICMP error counts as one without an answer"},
    {kMapElemIterator, "dns_look", true, ""},
    {.tracepoint = "consume_skb",
     .program = "dns_consumed",
     .required = true,
     .without = "answers are matched by port and id, those over TCP are not seen",
     .probes = true,
     .instead_of = "sock_recv_length"},
};

} // namespace

const Signal dns_signal = {"dns",
                           "what do processes ask name servers, and what becomes of it",
                           &elf_of<dns_skel>,
                           kHooks,
                           kKinds,
                           &dns_totals};

} // namespace culprit
