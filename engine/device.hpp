#pragma once

#include <cstdint>
#include <string>

namespace amend {

enum class DeviceType : std::uint8_t { cpu, cuda };

/// Where memory lives and work runs.
struct Device {
  DeviceType type = DeviceType::cpu;
  int index = 0;

  static Device cpu() { return {}; }
  static Device cuda(int index = 0) { return {DeviceType::cuda, index}; }
  bool is_cuda() const { return type == DeviceType::cuda; }
  friend bool operator==(const Device&, const Device&) = default;
};

/// `cpu`, `cuda:0`.
std::string to_string(Device device);

/// Reads `cpu`, `cuda`, `cuda:1` or `auto` (the first CUDA device when one can be used, otherwise the CPU).
/// Throws InputError when the text is none of these or a CUDA device is asked for and cannot be used; the message says
/// why.
Device parse_device(const std::string& text);

/// Empty when CUDA device `index` can be used; otherwise one sentence that says why not.
std::string cuda_unavailable_reason(int index = 0);

}  // namespace amend
