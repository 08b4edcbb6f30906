#include "engine/arena.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdint>
#include <cstring>
#include <limits>

#include "engine/memory.hpp"

using namespace amend;

namespace {
bool aligned(const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer) % kAlignment == 0; }
}  // namespace

TEST_CASE("arena memory is aligned and does not overlap", "[engine]") {
  Arena arena(Device::cpu(), 4096);
  constexpr std::size_t kSizes[] = {1, 63, 64, 65, 0, 1000, 4096, 5000, 3};
  std::vector<std::pair<char*, std::size_t>> blocks;
  for (std::size_t bytes : kSizes) {
    char* block = static_cast<char*>(arena.allocate(bytes));
    REQUIRE(aligned(block));
    std::memset(block, static_cast<int>(blocks.size()), bytes);
    blocks.emplace_back(block, bytes);
  }
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    const auto [block, bytes] = blocks[i];
    CHECK(std::all_of(block, block + bytes, [&](char c) { return c == static_cast<char>(i); }));
  }
  CHECK(blocks[4].first != blocks[5].first);  // empty allocations have an address of their own
}

TEST_CASE("an arena that repeats its step allocates nothing", "[engine]") {
  Arena arena(Device::cpu(), 4096);
  const auto step = [&] {
    for (std::size_t bytes : {100, 4000, 9000, 17, 4096, 64}) arena.allocate(bytes);
    arena.tensor({3, 5}, DType::float64);
    arena.zeros({7}, DType::int32);
    arena.make<int>(1);
  };
  step();
  const std::size_t capacity = arena.capacity(), used = arena.used(), allocations = allocation_count();
  for (int i = 0; i < 5; ++i) {
    arena.reset();
    CHECK(arena.used() == 0);
    step();
  }
  CHECK(arena.used() == used);
  CHECK(arena.capacity() == capacity);
  CHECK(allocation_count() == allocations);
  CHECK(used <= capacity);
}

TEST_CASE("an arena hands out the same memory after a reset", "[engine]") {
  Arena arena(Device::cpu(), 1024);
  void* first = arena.allocate(512);
  void* second = arena.allocate(1024);  // does not fit the first chunk any more
  arena.reset();
  CHECK(arena.allocate(512) == first);
  CHECK(arena.allocate(1024) == second);
}

TEST_CASE("rewinding an arena frees what came after the mark, across chunks", "[engine]") {
  Arena arena(Device::cpu(), 1024);
  int* kept = arena.make<int>(42);
  const Arena::Mark mark = arena.mark();
  const std::size_t used = arena.used();
  void* after = arena.allocate(256);
  for (int i = 0; i < 10; ++i) arena.allocate(900);
  const std::size_t capacity = arena.capacity();
  REQUIRE(capacity > 9 * 900);

  arena.rewind(mark);
  CHECK(arena.used() == used);
  CHECK(arena.allocate(256) == after);
  for (int i = 0; i < 10; ++i) arena.allocate(900);
  CHECK(arena.capacity() == capacity);
  CHECK(*kept == 42);
}

TEST_CASE("arena marks nest", "[engine]") {
  Arena arena(Device::cpu(), 1024);
  const Arena::Mark outer = arena.mark();
  void* first = arena.allocate(800);
  const Arena::Mark inner = arena.mark();
  void* second = arena.allocate(800);
  arena.rewind(inner);
  CHECK(arena.allocate(800) == second);
  arena.rewind(outer);
  CHECK(arena.allocate(800) == first);
}

TEST_CASE("arena tensors have the shape, type and size asked for", "[engine]") {
  Arena arena;
  const TensorView tensor = arena.tensor({3, 4}, DType::float64);
  CHECK(tensor);
  CHECK(tensor.shape == Shape{3, 4});
  CHECK(tensor.bytes() == 96);
  CHECK(tensor.device == Device::cpu());
  CHECK(arena.used() == 128);
}

TEST_CASE("arena zeros are zero where the memory was used before", "[engine]") {
  Arena arena;
  const TensorView dirty = arena.tensor({100}, DType::float32);
  std::fill_n(dirty.as<float>(), 100, 7.0f);
  arena.reset();
  const TensorView clean = arena.zeros({100}, DType::float32);
  REQUIRE(clean.data == dirty.data);
  CHECK(std::all_of(clean.as<float>(), clean.as<float>() + 100, [](float x) { return x == 0.0f; }));
}

TEST_CASE("buffers are aligned, zero-filled and counted", "[engine]") {
  const std::size_t before = allocation_count();
  for (std::size_t bytes : {1, 100, 100000}) {
    const auto memory = allocate(bytes, Device::cpu());
    const char* data = static_cast<const char*>(memory.get());
    CHECK(aligned(data));
    CHECK(std::all_of(data, data + bytes, [](char c) { return c == 0; }));
  }
  CHECK(allocation_count() == before + 3);
}

TEST_CASE("a buffer that is too large is an error that says how many bytes", "[engine]") {
  constexpr std::size_t kMost = std::numeric_limits<std::size_t>::max();
  CHECK_THROWS_WITH(allocate(kMost / 4, Device::cpu()),
                    Catch::Contains("[allocate] out of memory: 4611686018427387903 bytes"));
  CHECK_THROWS_AS(allocate(kMost, Device::cpu()), Error);  // rounding up must not wrap around
}
