#include "test/support/twin_device.hpp"

#include <cstdlib>
#include <string>

#include "engine/error.hpp"

namespace amend::test {

namespace {

Device read() {
  constexpr const char* kName = "AMEND_TWIN_DEVICE";
  const char* const value = std::getenv(kName);
  if (value == nullptr) return Device::cpu();
  const std::string text = value;
  if (!text.starts_with("cuda")) fail_input(kName, "expected cuda or cuda:N, got `", text, "`");
  try {
    return parse_device(text);
  } catch (const InputError& error) {
    const std::string reason = error.what();  // begins with the option of the command line
    fail_input(kName, reason.substr(reason.find(": ") + 2));
  }
}

}  // namespace

Device twin_device() {
  static const Device device = read();
  return device;
}

}  // namespace amend::test
