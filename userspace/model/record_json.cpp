// SPDX-License-Identifier: MIT
// Walks a kind's field table; knows types, never signals.
#include "model/record_json.h"

#include <arpa/inet.h>

#include <cstring>

#include <nlohmann/json.hpp>

#include "model/format.h"
#include "model/identity.h"
#include "util/text.h"

namespace culprit {

namespace {

using Json = nlohmann::ordered_json;

Json words_json(std::span<const std::byte> record, const Field& field) {
    Json list = Json::array();
    for (std::size_t at = 0; at < field.size; at += 8)
        list.push_back(number_at(record, field.offset + at, 8));
    while (!list.empty() && list.back() == 0)
        list.erase(list.size() - 1);
    return list;
}

void flow_json(const abi_flow& flow, const Names& names, Json& into) {
    const auto text_or_null = [](std::string text) {
        return text == "-" ? Json(nullptr) : Json(std::move(text));
    };
    into["netns"] = flow.netns ? Json(flow.netns) : Json(nullptr);
    into["local"] = text_or_null(endpoint(flow, true));
    into["remote"] = text_or_null(endpoint(flow, false));
    into["protocol"] = text_or_null(ip_protocol(flow.protocol));
    into["device"] = text_or_null(device(flow.netns, flow.ifindex, names));
    if (flow.v4_mapped)
        into["v4_mapped"] = true;
}

void owner_json(const abi_owner& owner, const Names& names, Json& into) {
    const Identity who = identify(owner, names);
    const auto text_or_null = [](const std::string& text) {
        return text.empty() ? Json(nullptr) : Json(safe_text(text));
    };
    into["pid"] = owner.tgid ? Json(owner.tgid) : Json(nullptr);
    into["comm"] = owner.tgid ? Json(safe_text(who.comm)) : Json(nullptr);
    into["exe"] = text_or_null(who.exe);
    into["exited"] = who.exited ? Json(*who.exited) : Json(nullptr);
    into["tid"] = owner.tid ? Json(owner.tid) : Json(nullptr);
    into["thread"] = owner.tid ? Json(safe_text(until_nul(owner.thread))) : Json(nullptr);
    into["container"] = text_or_null(who.container);
    into["unit"] = text_or_null(who.unit);
    into["cgroup_id"] = owner.cgroup_id ? Json(owner.cgroup_id) : Json(nullptr);
    into["provenance"] = provenance(owner.provenance);
}

bool is_plain_number(Type type) {
    return type == Type::kNumber || type == Type::kBytes || type == Type::kDurationNs ||
           type == Type::kDurationUs || type == Type::kHex || type == Type::kNetns;
}

std::string address_text(const __u8* bytes) {
    static constexpr char kHex[] = "0123456789abcdef";
    std::string text;
    for (int i = 0; i < ABI_ADDR_BYTES; i++) {
        text += kHex[bytes[i] >> 4];
        text += kHex[bytes[i] & 15];
    }
    return text;
}

bool address_bytes(const std::string& text, __u8* bytes) {
    if (text.size() != 2 * ABI_ADDR_BYTES ||
        text.find_first_not_of("0123456789abcdef") != std::string::npos)
        return false;
    for (std::size_t i = 0; i < ABI_ADDR_BYTES; i++)
        bytes[i] = static_cast<__u8>(std::stoul(text.substr(2 * i, 2), nullptr, 16));
    return true;
}

Json raw_flow(const abi_flow& f) {
    return Json::array({address_text(f.local), address_text(f.remote), f.local_port, f.remote_port,
                        f.family, f.protocol, f.v4_mapped, f.netns, f.ifindex});
}

Json raw_owner(const abi_owner& o) {
    return Json::array({o.tgid, o.start_ns, o.cgroup_id, o.provenance,
                        safe_text({o.comm, sizeof(o.comm)}), o.tid,
                        safe_text({o.thread, sizeof(o.thread)})});
}

bool put_text(std::span<std::byte> record, std::size_t offset, std::size_t size,
              const std::string& text) {
    const auto bytes = raw_bytes(text);
    if (!bytes || bytes->size() != size)
        return false;
    std::memcpy(record.data() + offset, bytes->data(), size);
    return true;
}

bool put_flow(std::span<std::byte> record, const Field& field, const Json& from) {
    abi_flow f{};
    if (from.size() != 9 || !address_bytes(from[0].get<std::string>(), f.local) ||
        !address_bytes(from[1].get<std::string>(), f.remote))
        return false;
    f.local_port = exact_number<decltype(f.local_port)>(from[2]);
    f.remote_port = exact_number<decltype(f.remote_port)>(from[3]);
    f.family = exact_number<decltype(f.family)>(from[4]);
    f.protocol = exact_number<decltype(f.protocol)>(from[5]);
    f.v4_mapped = exact_number<decltype(f.v4_mapped)>(from[6]);
    f.netns = exact_number<decltype(f.netns)>(from[7]);
    f.ifindex = exact_number<decltype(f.ifindex)>(from[8]);
    std::memcpy(record.data() + field.offset, &f, sizeof(f));
    return true;
}

bool put_owner(std::span<std::byte> record, const Field& field, const Json& from) {
    abi_owner o{};
    if (from.size() != 7)
        return false;
    o.tgid = exact_number<decltype(o.tgid)>(from[0]);
    o.start_ns = exact_number<decltype(o.start_ns)>(from[1]);
    o.cgroup_id = exact_number<decltype(o.cgroup_id)>(from[2]);
    o.provenance = exact_number<decltype(o.provenance)>(from[3]);
    o.tid = exact_number<decltype(o.tid)>(from[5]);
    std::memcpy(record.data() + field.offset, &o, sizeof(o));
    return put_text(record, field.offset + offsetof(abi_owner, comm), sizeof(o.comm),
                    from[4].get<std::string>()) &&
           put_text(record, field.offset + offsetof(abi_owner, thread), sizeof(o.thread),
                    from[6].get<std::string>());
}

bool put_field(std::span<std::byte> record, const Field& field, const Json& from) {
    switch (field.type) {
    case Type::kFlow:
        return put_flow(record, field, from);
    case Type::kOwner:
        return put_owner(record, field, from);
    case Type::kText:
    case Type::kDnsName:
        return put_text(record, field.offset, field.size, from.get<std::string>());
    case Type::kAddress:
        return address_bytes(from.get<std::string>(),
                             reinterpret_cast<__u8*>(record.data()) + field.offset);
    case Type::kHistogram:
    case Type::kStack:
        if (from.size() * 8 > field.size)
            return false;
        for (std::size_t i = 0; i < from.size(); i++) {
            const auto word = exact_number<std::uint64_t>(from[i]);
            std::memcpy(record.data() + field.offset + i * 8, &word, 8);
        }
        return true;
    default: {
        const auto value = exact_number<std::uint64_t>(from);
        if (field.type == Type::kNamed && value >= field.names.size())
            return false;
        if (field.size < 8 && value >> (8 * field.size))
            return false;
        std::memcpy(record.data() + field.offset, &value, field.size);
        return true;
    }
    }
}

} // namespace

void record_to_json(const Kind& kind, std::span<const std::byte> record, const Names& names,
                    Json& into) {
    for (const Field& field : kind.fields) {
        if (field.type == Type::kFlow) {
            flow_json(value_at<abi_flow>(record, field.offset), names, into);
        } else if (field.type == Type::kOwner) {
            owner_json(value_at<abi_owner>(record, field.offset), names, into);
        } else if (field.type == Type::kHistogram) {
            into[field.name] = words_json(record, field);
        } else if (field.type == Type::kStack) {
            into[field.name] = stack_text(field, record, names);
        } else if (is_plain_number(field.type)) {
            into[field.name] = number_at(record, field.offset, field.size);
        } else {
            std::string text = field_text(field, record, names);
            into[field.name == std::string_view("ifindex") ? "device" : field.name] =
                text == "-" ? Json(nullptr) : Json(std::move(text));
        }
    }
}

void record_to_raw_json(const Kind& kind, std::span<const std::byte> record, Json& into) {
    for (const Field& field : kind.fields) {
        Json& member = into[field.name];
        if (field.type == Type::kFlow)
            member = raw_flow(value_at<abi_flow>(record, field.offset));
        else if (field.type == Type::kOwner)
            member = raw_owner(value_at<abi_owner>(record, field.offset));
        else if (field.type == Type::kHistogram || field.type == Type::kStack)
            member = words_json(record, field);
        else if (field.type == Type::kAddress)
            member = address_text(reinterpret_cast<const __u8*>(record.data()) + field.offset);
        else if (field.type == Type::kText || field.type == Type::kDnsName)
            member = safe_text(
                {reinterpret_cast<const char*>(record.data()) + field.offset, field.size});
        else
            member = number_at(record, field.offset, field.size);
    }
}

Result<std::vector<std::byte>> record_from_raw_json(const Kind& kind, const Json& from) {
    std::vector<std::byte> record(kind.size);
    abi_head head{};
    head.kind = kind.id;
    head.size_bytes = kind.size;
    std::memcpy(record.data(), &head, sizeof(head));
    try {
        for (const Field& field : kind.fields)
            if (!put_field(record, field, from.at(field.name)))
                return fail(Code::kFailed, std::string("field ") + field.name + " of a " +
                                               kind.name + " row is damaged");
    } catch (const std::exception& e) {
        return fail(Code::kFailed, std::string("a ") + kind.name + " row is damaged: " + e.what());
    }
    return record;
}

} // namespace culprit
