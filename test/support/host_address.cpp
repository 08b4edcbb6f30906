#include "test/support/host_address.hpp"

#include <sys/mman.h>

namespace amend::test {

bool is_host_address(std::uint64_t word) {
  // Below lie integers, and pairs of them; programs, heaps and stacks are above.
  constexpr std::uint64_t kLeast = 0x500000000000, kMost = 0x7fffffffffff, kPage = 4096;
  unsigned char state = 0;
  return word >= kLeast && word <= kMost && mincore(reinterpret_cast<void*>(word / kPage * kPage), 1, &state) == 0;
}

}  // namespace amend::test
