// SPDX-License-Identifier: MIT
// Catch2 2 (Debian 12) and 3 (newer): the same macros from different headers.
#pragma once

#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
using Catch::Approx; // global in version 2
#else
#include <catch2/catch.hpp>
#endif
