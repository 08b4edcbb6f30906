#pragma once

#include <cstddef>

namespace amend::test {

/// Number of calls of global `operator new` in this program so far, by all threads.
std::size_t heap_allocation_count();

}  // namespace amend::test
