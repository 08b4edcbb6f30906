#pragma once

#include <malloc.h>

#include <cstdint>
#include <fstream>
#include <string>

namespace amend::test {

/// Bytes that /proc/self/status gives for `key`, 0 when it does not.
inline std::int64_t process_bytes(const std::string& key) {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;)
    if (std::int64_t kibibytes = 0; word == key + ":" && status >> kibibytes) return kibibytes * 1024;
  return 0;
}

/// By how much the memory of this process has grown at most since the object was made: resident pages, so that maps and
/// memory of the allocator that nobody touched do not count.
class PeakMemory {
 public:
  PeakMemory() {
    ::malloc_trim(0);  // what was freed before would be used again without growth
    std::ofstream("/proc/self/clear_refs")
        << 5;  // the peak begins at the present; where this is refused, it may be earlier
    start_ = process_bytes("VmRSS");
  }
  std::int64_t growth() const { return process_bytes("VmHWM") - start_; }

 private:
  std::int64_t start_;
};

}  // namespace amend::test
