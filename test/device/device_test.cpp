// What the engine asks of a device.

#include <catch2/catch.hpp>
#include <cmath>

#include "engine/arena.hpp"
#include "engine/copy.hpp"
#include "engine/cuda/runtime.hpp"
#include "engine/memory.hpp"
#include "engine/out_of_memory.hpp"
#include "engine/stream_owner.hpp"
#include "kernels/fill.hpp"
#include "test/support/device/counters.hpp"
#include "test/support/op_run.hpp"

namespace amend::test {
namespace {

const Device kDevice = Device::cuda();

TEST_CASE("a copy to a device may be followed by a change, one to the host is complete") {
  const StreamOwner stream(kDevice);
  const Tensor x({3}, DType::float64, kDevice), y({3}, DType::float64, kDevice);
  const Tensor host = make_tensor({3}, DType::float64, {1, 2, 3});
  const device::Counters before = device::counters();
  copy(x, host, stream);
  host.as<double>()[0] = 7;
  copy(y, x, stream);
  zero(x, stream);
  CHECK(values(host_copy(y, stream)) == std::vector<double>{1, 2, 3});
  CHECK(values(host_copy(x, stream)) == std::vector<double>{0, 0, 0});
  if (device::has_counters()) {
    const device::Counters happened = device::counters() - before;
    CHECK(happened.copies_to_device == 1);
    CHECK(happened.copies_on_device == 1);
    CHECK(happened.copies_to_host == 2);
    CHECK(happened.synchronisations == 2);
  }
  CHECK_THROWS_WITH(copy(x, host, Stream{}), Catch::Contains("on a stream of cpu"));
  CHECK_THROWS_WITH(copy(Tensor({2}, DType::float64), x, stream), Catch::Contains("[copy] expected (3)"));
}

TEST_CASE("what an arena stages goes up in one copy, and is not overwritten before it has gone") {
  const StreamOwner stream(kDevice);
  Arena arena(kDevice);
  const Tensor sum({50}, DType::float32, kDevice);
  void* address = nullptr;
  const auto step = [&](float value) {
    arena.reset();
    const Arena::Staged first = arena.stage({3}, DType::int32), second = arena.stage({50}, DType::float32);
    std::fill_n(first.host.as<std::int32_t>(), 3, 1);
    std::fill_n(second.host.as<float>(), 50, value);
    arena.upload(stream);
    kernels::accumulate({.x = second.device, .scale = 1.0, .y = sum}, stream);
    CHECK((address == nullptr || address == second.device.data));
    address = second.device.data;
  };
  step(1);
  const std::size_t allocations = allocation_count();
  const device::Counters before = device::counters();
  for (const float value : {2.0f, 4.0f, 8.0f, 16.0f}) step(value);
  if (device::has_counters()) {
    const device::Counters happened = device::counters() - before;
    CHECK(happened.copies_to_device == 4);
    CHECK(happened.synchronisations == 0);
    CHECK(happened.copies_to_host == 0);
    CHECK(happened.allocations == 0);
    CHECK(happened.waits == 3);  // the device was two steps behind; it does nothing before somebody waits
  }
  CHECK(allocation_count() == allocations);
  CHECK(values(host_copy(sum, stream)) == std::vector<double>(50, 31.0));
}

TEST_CASE("an arena of a device has room for a batch that is a little larger than the last one") {
  Arena arena(kDevice);
  std::size_t capacity = 0;
  for (const std::size_t bytes : {std::size_t{20} << 20, std::size_t{22} << 20, std::size_t{24} << 20}) {
    arena.reset();
    for (int tensor = 0; tensor < 2; ++tensor) arena.allocate(bytes);
    if (capacity == 0) capacity = arena.capacity();
    CHECK(arena.capacity() == capacity);
  }
}

TEST_CASE("an arena stages between uploads and in more than one chunk") {
  const StreamOwner stream(kDevice);
  Arena arena(kDevice);
  const std::int64_t count = 200000;
  std::vector<Arena::Staged> staged;
  for (const double value : {1.0, 2.0, 3.0}) {
    staged.push_back(arena.stage({count}, DType::float64));
    std::fill_n(staged.back().host.as<double>(), count, value);
    if (value == 1.0) arena.upload(stream);
  }
  arena.upload(stream);
  for (std::size_t i = 0; i < 3; ++i)
    CHECK(values(host_copy(staged[i].device, stream)) ==
          std::vector<double>(static_cast<std::size_t>(count), static_cast<double>(i + 1)));
  const TensorView zeros = arena.zeros({10}, DType::float32, stream);
  CHECK(values(host_copy(zeros, stream)) == std::vector<double>(10, 0.0));
}

TEST_CASE("on the CPU what is staged is in place") {
  Arena arena;
  const Arena::Staged staged = arena.stage({4}, DType::float32);
  CHECK(staged.host.data == staged.device.data);
  CHECK(staged.device.device == Device::cpu());
  CHECK_NOTHROW(arena.upload(Stream{}));
}

TEST_CASE("memory that the device does not have is refused, and the device goes on") {
  const std::size_t total = cuda::memory_info(0).total;
  try {
    Tensor({static_cast<std::int64_t>(total / 4 + 1)}, DType::float32, kDevice);
    FAIL("expected OutOfMemory");
  } catch (const OutOfMemory& error) {
    CHECK_THAT(error.what(), Catch::Contains("bytes were asked for on cuda:0"));
    CHECK(error.asked() == (total / 4 + 1) * 4);
    CHECK(error.free() > 0);
    CHECK(error.free() <= total);
  }
  const StreamOwner stream(kDevice);
  const Tensor x({3}, DType::float32, kDevice);
  kernels::fill({.y = x, .value = 0.5}, stream);
  CHECK(values(host_copy(x, stream)) == std::vector<double>(3, 0.5));
}

TEST_CASE("a captured graph repeats its kernels with what lies in device memory by then") {
  const StreamOwner stream(kDevice);
  const Tensor x({2}, DType::float32, kDevice), sum({2}, DType::float32, kDevice);
  kernels::accumulate({.x = x, .scale = 1.0, .y = sum}, stream);  // adds 0: a device loads a kernel when it runs first
  cuda::begin_capture(stream);
  kernels::accumulate({.x = x, .scale = 1.0, .y = sum}, stream);
  void* const graph = cuda::end_capture(stream);
  CHECK(values(host_copy(sum, stream)) == std::vector<double>{0, 0});
  for (const double value : {1.0, 10.0}) {
    copy(x, make_tensor({2}, DType::float32, {value, 2 * value}), stream);
    cuda::launch_graph(graph, stream);
  }
  CHECK(values(host_copy(sum, stream)) == std::vector<double>{11, 22});
  cuda::destroy_graph(graph);
}

}  // namespace
}  // namespace amend::test
