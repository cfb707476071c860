// SPDX-License-Identifier: MIT
// Copies types whole, so that sizes, offsets and bitfields stay what they are; only the references
// between them are new.
#include "kernel/core_types.h"

#include <bpf/btf.h>
#include <sys/mman.h>

#include <cerrno>
#include <functional>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include <fmt/format.h>

namespace culprit {

void BtfFree::operator()(btf* b) const {
    btf__free(b);
}

namespace {

std::string_view name_of(const btf* btf, const btf_type* type) {
    const char* name = btf__name_by_offset(btf, type->name_off);
    return name ? name : "";
}

/// "sock" of "sock___old": for libbpf a flavour is the same type. Three underscores, not four.
std::string_view essential(std::string_view name) {
    constexpr std::string_view kMark = "___";
    for (std::size_t at = name.rfind(kMark); at != std::string_view::npos && at > 0;
         at = name.rfind(kMark, at - 1)) {
        const std::size_t after = at + kMark.size();
        if (name[at - 1] != '_' && after < name.size() && name[after] != '_')
            return name.substr(0, at);
    }
    return name;
}

/// Where a relocation may begin.
bool is_root(const btf_type* type) {
    switch (btf_kind(type)) {
    case BTF_KIND_INT:
    case BTF_KIND_STRUCT:
    case BTF_KIND_UNION:
    case BTF_KIND_ENUM:
    case BTF_KIND_ENUM64:
    case BTF_KIND_FWD:
    case BTF_KIND_TYPEDEF:
        return true;
    default:
        return false;
    }
}

/// Refers to the one type it is made of.
bool is_modifier(const btf_type* type) {
    return btf_is_mod(type) || btf_is_typedef(type);
}

bool is_embeddable(const btf_type* type) {
    return is_root(type) || is_modifier(type) || btf_is_array(type) || btf_is_float(type);
}

/// Calls with each number of a type that is a part of this one.
void each_part(const btf_type* type, const std::function<void(__u32&)>& call) {
    auto* whole = const_cast<btf_type*>(type); // libbpf has no accessor to change a copied type
    if (is_modifier(type)) {
        call(whole->type);
    } else if (btf_is_array(type)) {
        call(btf_array(whole)->type);
        call(btf_array(whole)->index_type);
    } else if (btf_is_composite(type)) {
        for (__u16 i = 0; i < btf_vlen(type); i++)
            call(btf_members(whole)[i].type);
    }
}

class Pruner {
public:
    explicit Pruner(const btf* kernel) : x_kernel(kernel), x_into(btf__new_empty()) {}

    Result<Btf> prune(const TypeNames& names);

private:
    void want_named(const TypeNames& names);
    void want(__u32 id);
    int copy_wanted();
    void renumber();

    const btf* x_kernel;
    Btf x_into;
    std::vector<__u32> x_wanted;            // numbers in the kernel's BTF; here it is the index + 2
    std::unordered_map<__u32, __u32> x_new; // number in the kernel's BTF -> here
};

constexpr __u32 kPointer = 1; // the one pointer comes first

void Pruner::want(__u32 id) {
    const btf_type* type = btf__type_by_id(x_kernel, id);
    if (!id || !type || x_new.contains(id))
        return;
    if (btf_is_ptr(type)) {
        x_new[id] = kPointer;
    } else if (is_embeddable(type)) {
        x_wanted.push_back(id);
        x_new[id] = kPointer + static_cast<__u32>(x_wanted.size());
    }
}

void Pruner::want_named(const TypeNames& names) {
    const std::unordered_set<std::string_view> wanted(names.begin(), names.end());
    const __u32 count = btf__type_cnt(x_kernel);
    for (__u32 id = 1; id < count; id++) {
        const btf_type* type = btf__type_by_id(x_kernel, id);
        if (is_root(type) && wanted.contains(essential(name_of(x_kernel, type))))
            want(id);
    }
    // it grows while the parts of what is wanted are found
    for (std::size_t i = 0; i < x_wanted.size(); i++)
        each_part(btf__type_by_id(x_kernel, x_wanted[i]), [&](const __u32& part) { want(part); });
}

int Pruner::copy_wanted() {
    if (const int pointer = btf__add_ptr(x_into.get(), 0); pointer < 0)
        return pointer;
    for (const __u32 id : x_wanted)
        if (const int added = btf__add_type(x_into.get(), x_kernel, btf__type_by_id(x_kernel, id));
            added < 0)
            return added;
    return 0;
}

/// What cannot be a part (a function) is void.
void Pruner::renumber() {
    for (const __u32 id : x_wanted)
        each_part(btf__type_by_id(x_into.get(), x_new[id]), [&](__u32& part) {
            const auto known = x_new.find(part);
            part = known == x_new.end() ? 0 : known->second;
        });
}

Result<Btf> Pruner::prune(const TypeNames& names) {
    if (!x_into)
        return std::unexpected(sys_error(errno, "make a BTF"));
    want_named(names);
    if (const int error = copy_wanted())
        return std::unexpected(sys_error(error, "copy the kernel's types"));
    renumber();
    return std::move(x_into);
}

} // namespace

void add_type_names(const btf* object, TypeNames& into) {
    const __u32 count = btf__type_cnt(object);
    for (__u32 id = 1; id < count; id++) {
        const btf_type* type = btf__type_by_id(object, id);
        const std::string_view name = essential(name_of(object, type));
        if (is_root(type) && !name.empty())
            into.emplace(name);
    }
}

Result<Btf> core_types(const btf* kernel, const TypeNames& names) {
    return Pruner(kernel).prune(names);
}

CoreTypesFile::CoreTypesFile() : x_fd(memfd_create("core_types", MFD_CLOEXEC)) {
    if (x_fd)
        x_path = fmt::format("/proc/self/fd/{}", x_fd.get());
}

Result<void> CoreTypesFile::write(const btf* types) {
    __u32 size = 0;
    const auto* data = static_cast<const std::byte*>(btf__raw_data(types, &size));
    if (!data)
        return std::unexpected(sys_error(errno, "lay out the types"));
    for (std::size_t at = 0; at < size;) {
        const ssize_t done = ::write(x_fd.get(), data + at, size - at);
        if (done < 0)
            return std::unexpected(sys_error(errno, "write the types"));
        at += static_cast<std::size_t>(done);
    }
    return {};
}

} // namespace culprit
