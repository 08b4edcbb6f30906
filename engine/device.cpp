#include "engine/device.hpp"

#include "engine/cuda/runtime.hpp"
#include "engine/error.hpp"

namespace amend {

std::string to_string(Device device) {
  return device.is_cuda() ? "cuda:" + std::to_string(device.index) : std::string("cpu");
}

std::string cuda_unavailable_reason(int index) { return cuda::unavailable_reason(index); }

Device parse_device(const std::string& text) {
  if (text == "cpu") return Device::cpu();
  if (text == "auto") return cuda_unavailable_reason().empty() ? Device::cuda() : Device::cpu();
  if (text == "cuda" || text.starts_with("cuda:")) {
    int index = 0;
    if (text.size() > 5) {
      const std::string digits = text.substr(5);
      if (digits.size() > 4 || digits.find_first_not_of("0123456789") != std::string::npos)
        fail_input("--device", "expected a device number after `cuda:`, got `", text, "`");
      index = std::stoi(digits);
    } else if (text == "cuda:") {
      fail_input("--device", "expected a device number after `cuda:`");
    }
    if (const std::string reason = cuda_unavailable_reason(index); !reason.empty())
      fail_input("--device", text, " cannot be used: ", reason);
    return Device::cuda(index);
  }
  fail_input("--device", "expected cpu, cuda, cuda:N or auto, got `", text, "`");
}

}  // namespace amend
