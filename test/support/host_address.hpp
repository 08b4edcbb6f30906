#pragma once

#include <cstdint>

namespace amend::test {

/// Whether a word of a kernel's arguments is, by its value, an address of mapped host memory.
bool is_host_address(std::uint64_t word);

}  // namespace amend::test
