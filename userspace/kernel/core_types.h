// SPDX-License-Identifier: MIT
// The part of the kernel's BTF that relocating our programs takes: libbpf searches all of the BTF
// it is given once for every type of every object, and the kernel's has 100 000 types and more.
#pragma once

#include <memory>
#include <set>
#include <string>

#include "util/result.h"
#include "util/unique_fd.h"

struct btf;

namespace culprit {

struct BtfFree {
    void operator()(btf* b) const;
};
using Btf = std::unique_ptr<btf, BtfFree>;

/// Names of types without flavours: `x` for `x___old` too.
using TypeNames = std::set<std::string, std::less<>>;

/// Adds the names of all types in an object's BTF where a relocation may begin.
void add_type_names(const btf* object, TypeNames& into);

/// The types with these names and what is embedded in them, laid out as in `kernel`. Every pointer
/// becomes one to void: no access goes through one, and all pointers are compatible. So two kinds
/// of relocation must not be used with it: ids of kernel types, and whether a typedef of a pointer
/// exists.
Result<Btf> core_types(const btf* kernel, const TypeNames& names);

/// A file in memory with a name that libbpf can be given before there is something in it.
class CoreTypesFile {
public:
    /// Empty path() when there can be no such file.
    CoreTypesFile();
    const std::string& path() const { return x_path; }
    Result<void> write(const btf* types);

private:
    UniqueFd x_fd;
    std::string x_path;
};

} // namespace culprit
