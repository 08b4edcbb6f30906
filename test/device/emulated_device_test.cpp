// The emulated device itself: test/support/device/device.hpp.

#include "test/support/device/device.hpp"

#include <catch2/catch.hpp>

#include "engine/copy.hpp"
#include "engine/cuda/runtime.hpp"
#include "engine/out_of_memory.hpp"
#include "engine/stream_owner.hpp"
#include "kernels/fill.hpp"
#include "kernels/gather.hpp"
#include "test/support/op_run.hpp"

namespace amend::test {
namespace {

const Device kDevice = Device::cuda();

TEST_CASE("`auto` takes the device, and a second one is not there") {
  CHECK(parse_device("auto") == kDevice);
  CHECK(parse_device("cuda:0") == kDevice);
  CHECK_THROWS_WITH(parse_device("cuda:1"), "--device: cuda:1 cannot be used: there is one device, cuda:0");
}

TEST_CASE("device memory is for kernels and copies only") {
  const StreamOwner stream(kDevice);
  const Tensor x({100}, DType::float32, kDevice), host({100}, DType::float32);
  CHECK_FALSE(device::readable(x.view().data));
  CHECK(device::readable(host.view().data));
  kernels::fill({.y = x, .value = 2.5}, stream);
  copy(host, x, stream);
  CHECK(values(host) == std::vector<double>(100, 2.5));
  CHECK_FALSE(device::readable(x.view().data));
  CHECK_THROWS_WITH(kernels::fill({.y = host, .value = 1.0}, stream), Catch::Contains("`fill` was given host memory"));
  const std::int64_t first[] = {0}, offset[] = {0, 3};
  const Tensor plane({1, 100}, DType::float32, kDevice);
  CHECK_THROWS_WITH(kernels::gather_segments({.x = plane, .first = first, .segments = {offset, 1}, .y = plane}, stream),
                    Catch::Contains("`gather_segments` was given host memory"));
}

TEST_CASE("memory of the device that runs out says how much was asked for and is free") {
  const std::size_t used = device::used_bytes();
  device::set_capacity(used + (std::size_t{1} << 20));
  try {
    Tensor({1 << 20}, DType::float32, kDevice);
    FAIL("expected OutOfMemory");
  } catch (const OutOfMemory& error) {
    CHECK(error.what() == "[allocate] out of memory: 4194304 bytes were asked for on cuda:0, 1048576 of " +
                              std::to_string(used + (1 << 20)) + " are free");
    CHECK(error.asked() == 4194304);
    CHECK(error.free() == 1048576);
    CHECK(smaller_batch(100, 1 << 20, error) == 35);
  }
  device::set_capacity(std::size_t{1} << 32);
  CHECK(device::used_bytes() == used);
}

TEST_CASE("what a device refuses while a graph is captured") {
  const StreamOwner stream(kDevice);
  const Tensor x({2}, DType::float32, kDevice);
  cuda::begin_capture(stream);
  CHECK_THROWS_WITH(host_copy(x, stream), Catch::Contains("while a graph is captured"));
  CHECK_THROWS_WITH(Tensor({2}, DType::float32, kDevice), Catch::Contains("while a graph is captured"));
  cuda::destroy_graph(cuda::end_capture(stream));
}

}  // namespace
}  // namespace amend::test
