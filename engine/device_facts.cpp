#include "engine/device_facts.hpp"

#include "engine/error.hpp"

namespace amend {

namespace {

constexpr int kLeastCapability = 80;

std::string version_text(int version) { return detail::join(version / 1000, '.', version % 1000 / 10); }

}  // namespace

std::string unavailable_reason(const DeviceFacts& facts) {
  if (facts.driver_version == 0) return "no NVIDIA driver was found";
  if (facts.driver_version / 1000 < facts.runtime_version / 1000)
    return detail::join("the driver is too old: it supports CUDA ", version_text(facts.driver_version),
                        ", this build needs CUDA ", facts.runtime_version / 1000);
  if (!facts.error.empty()) return "the driver offers no device (" + facts.error + ")";
  if (facts.count == 0)
    return facts.visibility_set ? "the environment variable CUDA_VISIBLE_DEVICES hides every device"
                                : "this machine has no CUDA device";
  if (facts.index >= facts.count) {
    std::string reason = facts.count == 1
                             ? "there is one device, cuda:0"
                             : detail::join("there are ", facts.count, " devices, cuda:0 to cuda:", facts.count - 1);
    return facts.visibility_set ? reason + ", that CUDA_VISIBLE_DEVICES lets be seen" : reason;
  }
  if (facts.capability < kLeastCapability)
    return detail::join("its compute capability is ", facts.capability / 10, '.', facts.capability % 10, ", expected ",
                        kLeastCapability / 10, '.', kLeastCapability % 10, " or higher");
  if (!facts.compiled_for)
    return detail::join("this build has no code for compute capability ", facts.capability / 10, '.',
                        facts.capability % 10, " (AMEND_CUDA_ARCHITECTURES)");
  if (!facts.failure.empty()) return "it cannot be opened (" + facts.failure + ")";
  if (!facts.missing_twins.empty()) return "some kernels have no CUDA twin yet: " + facts.missing_twins;
  return "";
}

}  // namespace amend
