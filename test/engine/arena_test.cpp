#include "engine/arena.hpp"

#include <algorithm>
#include <array>
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

TEST_CASE("compacting an arena keeps what it is told to, in order and whole", "[engine]") {
  Arena arena(Device::cpu(), 4096);
  const TensorView outside = arena.tensor({10}, DType::float32);
  const Arena::Mark mark = arena.mark();
  std::vector<TensorView> tensors;
  for (std::int64_t i = 0; i < 40; ++i) {  // over several chunks
    tensors.push_back(arena.tensor({1 + 37 * i}, DType::float32));
    std::fill_n(tensors.back().as<float>(), tensors.back().count(), static_cast<float>(i));
  }
  const std::size_t before = arena.used();
  std::vector<TensorView> kept{tensors[31], tensors[3], outside, {}, tensors[39], tensors[4]};
  kept.push_back(reshape(tensors[3], {tensors[3].count(), 1}));  // the same memory again
  std::vector<TensorView*> pointers;
  for (TensorView& view : kept) pointers.push_back(&view);
  arena.compact(mark, pointers);
  for (const auto& [view, value] : {std::pair{kept[0], 31}, {kept[1], 3}, {kept[4], 39}, {kept[5], 4}, {kept[6], 3}})
    CHECK(std::all_of(view.as<float>(), view.as<float>() + view.count(), [&](float x) { return x == value; }));
  CHECK(kept[1].count() == tensors[3].count());
  CHECK(kept[6].data == kept[1].data);
  CHECK(kept[1].data == tensors[0].data);  // the first place after the mark
  CHECK(kept[2].data == outside.data);
  CHECK_FALSE(kept[3]);
  CHECK(arena.used() < before / 4);
  const TensorView next = arena.tensor({5}, DType::float32);
  for (const std::size_t i : {0, 1, 2, 4, 5}) CHECK(next.data != kept[i].data);
}

TEST_CASE("an arena compacts tensors that are all of their allocation only", "[engine]") {
  Arena arena;
  const Arena::Mark mark = arena.mark();
  const TensorView whole = arena.tensor({8}, DType::float32);
  TensorView first = slice_rows(whole, 0, 1), second = slice_rows(whole, 1, 1);
  CHECK_THROWS_WITH(arena.compact(mark, std::array{&first, &second}), Catch::Contains("all of their allocation"));
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
