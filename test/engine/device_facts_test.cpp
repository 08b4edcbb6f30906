#include "engine/device_facts.hpp"

#include <catch2/catch.hpp>

#include "engine/out_of_memory.hpp"

using namespace amend;

namespace {

/// A machine on which cuda:0 can be used.
DeviceFacts good() {
  return {.count = 2, .driver_version = 13010, .runtime_version = 13000, .capability = 90, .compiled_for = true};
}

std::string reason(void (*change)(DeviceFacts&)) {
  DeviceFacts facts = good();
  change(facts);
  return unavailable_reason(facts);
}

}  // namespace

TEST_CASE("what keeps a CUDA device from being used is said in one sentence", "[engine]") {
  CHECK(reason([](DeviceFacts&) {}).empty());
  CHECK(reason([](DeviceFacts& f) { f.index = 1, f.driver_version = 13000; }).empty());
  CHECK(reason([](DeviceFacts& f) { f.driver_version = 0; }) == "no NVIDIA driver was found");
  CHECK(reason([](DeviceFacts& f) { f.driver_version = 12080; }) ==
        "the driver is too old: it supports CUDA 12.8, this build needs CUDA 13");
  CHECK(reason([](DeviceFacts& f) { f.count = 0; }) == "this machine has no CUDA device");
  CHECK(reason([](DeviceFacts& f) { f.count = 0, f.visibility_set = true; }) ==
        "the environment variable CUDA_VISIBLE_DEVICES hides every device");
  CHECK(reason([](DeviceFacts& f) { f.count = 0, f.error = "unknown error"; }) ==
        "the driver offers no device (unknown error)");
  CHECK(reason([](DeviceFacts& f) { f.index = 2; }) == "there are 2 devices, cuda:0 to cuda:1");
  CHECK(reason([](DeviceFacts& f) { f.index = 1, f.count = 1; }) == "there is one device, cuda:0");
  CHECK(reason([](DeviceFacts& f) { f.index = 2, f.visibility_set = true; }) ==
        "there are 2 devices, cuda:0 to cuda:1, that CUDA_VISIBLE_DEVICES lets be seen");
  CHECK(reason([](DeviceFacts& f) { f.capability = 75; }) == "its compute capability is 7.5, expected 8.0 or higher");
  CHECK(reason([](DeviceFacts& f) { f.capability = 80; }).empty());
  CHECK(reason([](DeviceFacts& f) { f.failure = "out of memory"; }) == "it cannot be opened (out of memory)");
  CHECK(reason([](DeviceFacts& f) { f.compiled_for = false; }) ==
        "this build has no code for compute capability 9.0 (AMEND_CUDA_ARCHITECTURES)");
  CHECK(reason([](DeviceFacts& f) { f.missing_twins = "probe, fill"; }) ==
        "some kernels have no CUDA twin yet: probe, fill");
}

TEST_CASE("a batch that ran out of memory suggests a smaller one", "[engine]") {
  // On the CPU it is not known how much is free: what was held is what can be had.
  const OutOfMemory error(3000, Device::cpu());
  CHECK(error.asked() == 3000);
  CHECK(smaller_batch(64, 1000, error) == 14);
  CHECK(smaller_batch(64, 1000000, error) == 32);
  CHECK(smaller_batch(64, 0, error) == 1);
  CHECK(smaller_batch(1, 1000, error) == 1);
}
