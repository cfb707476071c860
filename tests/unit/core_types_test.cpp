// SPDX-License-Identifier: MIT
// Is what is picked from a BTF laid out as there, complete, and no more than needed?
#include "kernel/core_types.h"

#include <bpf/btf.h>

#include <string>

#include "support/catch.h"

using namespace culprit;

namespace {

struct Kernel {
    Btf types = Btf(btf__new_empty());
    btf* raw() { return types.get(); }

    int integer(const char* name, std::size_t size) { return btf__add_int(raw(), name, size, 0); }
    int structure(const char* name, __u32 size) { return btf__add_struct(raw(), name, size); }
    void field(const char* name, int type, __u32 bit, __u32 bits = 0) {
        REQUIRE(btf__add_field(raw(), name, type, bit, bits) == 0);
    }
    Btf pick(const TypeNames& names) {
        auto picked = core_types(raw(), names);
        REQUIRE(picked);
        return std::move(*picked);
    }
};

const btf_type* find(const Btf& types, const char* name, __u32 kind) {
    const __s32 id = btf__find_by_name_kind(types.get(), name, kind);
    return id < 0 ? nullptr : btf__type_by_id(types.get(), static_cast<__u32>(id));
}

const btf_type* structure(const Btf& types, const char* name) {
    return find(types, name, BTF_KIND_STRUCT);
}

const btf_type* type_of(const Btf& types, const btf_type* composite, __u32 member) {
    return btf__type_by_id(types.get(), btf_members(composite)[member].type);
}

std::string name_of(const Btf& types, __u32 offset) {
    return btf__name_by_offset(types.get(), offset);
}

} // namespace

TEST_CASE("only what is named and what is embedded in it is picked", "[core_types_test]") {
    Kernel kernel;
    const int u32 = kernel.integer("unsigned int", 4);
    const int inner = kernel.structure("inner", 4);
    kernel.field("value", u32, 0);
    const int pointed = kernel.structure("pointed", 4);
    kernel.field("value", u32, 0);
    const int pointer = btf__add_ptr(kernel.raw(), pointed);
    kernel.structure("other", 4);
    kernel.structure("outer", 24);
    kernel.field("in", inner, 64);
    kernel.field("to", pointer, 128);

    const Btf picked = kernel.pick({"outer"});
    const btf_type* outer = structure(picked, "outer");
    REQUIRE(outer);
    CHECK(outer->size == 24);
    REQUIRE(btf_vlen(outer) == 2);
    CHECK(btf_member_bit_offset(outer, 0) == 64);
    CHECK(btf_member_bit_offset(outer, 1) == 128);
    CHECK(type_of(picked, outer, 0) == structure(picked, "inner"));
    CHECK(btf_is_ptr(type_of(picked, outer, 1)));
    CHECK(type_of(picked, outer, 1)->type == 0);
    CHECK_FALSE(structure(picked, "pointed"));
    CHECK_FALSE(structure(picked, "other"));
}

TEST_CASE("a type that points to itself ends", "[core_types_test]") {
    Kernel kernel;
    const int node = kernel.structure("node", 8);
    kernel.field("next", node + 1, 0);
    btf__add_ptr(kernel.raw(), node);

    const Btf picked = kernel.pick({"node"});
    CHECK(btf__type_cnt(picked.get()) == 3); // void, the pointer, the node
}

TEST_CASE("bitfields stay where they are", "[core_types_test]") {
    Kernel kernel;
    const int u8 = kernel.integer("unsigned char", 1);
    kernel.structure("packet", 4);
    kernel.field("whole", u8, 0);
    kernel.field("type", u8, 8, 3);
    kernel.field("flag", u8, 11, 1);

    const Btf picked = kernel.pick({"packet"});
    const btf_type* packet = structure(picked, "packet");
    REQUIRE(packet);
    CHECK(btf_kflag(packet));
    CHECK(btf_member_bit_offset(packet, 1) == 8);
    CHECK(btf_member_bitfield_size(packet, 1) == 3);
    CHECK(btf_member_bit_offset(packet, 2) == 11);
    CHECK(btf_member_bitfield_size(packet, 2) == 1);
}

TEST_CASE("anonymous members stay nested", "[core_types_test]") {
    Kernel kernel;
    const int u32 = kernel.integer("unsigned int", 4);
    const int both = btf__add_union(kernel.raw(), nullptr, 4);
    kernel.field("a", u32, 0);
    kernel.field("b", u32, 0);
    kernel.structure("outer", 8);
    kernel.field(nullptr, both, 32);

    const Btf picked = kernel.pick({"outer"});
    const btf_type* outer = structure(picked, "outer");
    REQUIRE(outer);
    CHECK(btf_member_bit_offset(outer, 0) == 32);
    const btf_type* inside = type_of(picked, outer, 0);
    REQUIRE(btf_is_union(inside));
    CHECK(name_of(picked, inside->name_off).empty());
    CHECK(name_of(picked, btf_members(inside)[1].name_off) == "b");
}

TEST_CASE("arrays and modifiers lead to what they are made of", "[core_types_test]") {
    Kernel kernel;
    const int u32 = kernel.integer("unsigned int", 4);
    const int word = btf__add_typedef(kernel.raw(), "word", u32);
    const int fixed = btf__add_const(kernel.raw(), word);
    const int words = btf__add_array(kernel.raw(), u32, fixed, 6);
    kernel.structure("address", 24);
    kernel.field("words", words, 0);

    const Btf picked = kernel.pick({"address"});
    const btf_type* array = type_of(picked, structure(picked, "address"), 0);
    REQUIRE(btf_is_array(array));
    CHECK(btf_array(array)->nelems == 6);
    CHECK(btf__resolve_size(picked.get(), btf_array(array)->type) == 4);
    CHECK(btf__resolve_size(picked.get(), btf_array(array)->index_type) == 4);
    CHECK(find(picked, "word", BTF_KIND_TYPEDEF));
}

TEST_CASE("a flavour is the same type, on both sides", "[core_types_test]") {
    Kernel object;
    object.structure("sock___old", 4);
    btf__add_func(object.raw(), "a_function", BTF_FUNC_STATIC, 0);
    TypeNames names;
    add_type_names(object.raw(), names);
    CHECK(names == TypeNames{"sock"});

    Kernel kernel;
    kernel.structure("sock", 8);
    kernel.structure("sock___new", 16);
    kernel.structure("sock____four", 32);
    const Btf picked = kernel.pick(names);
    CHECK(structure(picked, "sock"));
    CHECK(structure(picked, "sock___new"));
    CHECK_FALSE(structure(picked, "sock____four"));
}

TEST_CASE("enums keep their values, of 64 bits too", "[core_types_test]") {
    Kernel kernel;
    btf__add_enum(kernel.raw(), "reason", 4);
    btf__add_enum_value(kernel.raw(), "NONE", 0);
    btf__add_enum_value(kernel.raw(), "LATE", 7);
    btf__add_enum64(kernel.raw(), "flags", 8, false);
    btf__add_enum64_value(kernel.raw(), "HIGH", 1ULL << 40);

    const Btf picked = kernel.pick({"reason", "flags"});
    const btf_type* reason = find(picked, "reason", BTF_KIND_ENUM);
    REQUIRE(reason);
    CHECK(name_of(picked, btf_enum(reason)[1].name_off) == "LATE");
    CHECK(btf_enum(reason)[1].val == 7);
    const btf_type* flags = find(picked, "flags", BTF_KIND_ENUM64);
    REQUIRE(flags);
    CHECK(btf_enum64_value(btf_enum64(flags)) == 1ULL << 40);
}

TEST_CASE("a name the kernel does not have is no error", "[core_types_test]") {
    Kernel kernel;
    kernel.structure("other", 4);
    CHECK_FALSE(structure(kernel.pick({"absent"}), "absent"));
}

TEST_CASE("the file holds what was written", "[core_types_test]") {
    Kernel kernel;
    kernel.structure("outer", 4);
    CoreTypesFile file;
    REQUIRE_FALSE(file.path().empty());
    REQUIRE(file.write(kernel.raw()));
    const Btf read(btf__parse(file.path().c_str(), nullptr));
    REQUIRE(read);
    CHECK(structure(read, "outer"));
}
