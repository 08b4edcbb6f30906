// What the emulation must find.

#include "test/support/cuda_emulation/device.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <vector>

#include "kernels/cuda/reduction.cuh"
#include "kernels/cuda/tensor_core.cuh"
#include "test/support/op_run.hpp"

namespace amend::kernels::emulated_cuda {
namespace {

struct Values {
  double value[64];
};

/// Reverses 64 values; without the barrier a thread may read what its partner has yet to write.
void reverse(double* x, bool barrier) {
  Values& shared = shared_memory<Values>();
  shared.value[threadIdx.x] = x[threadIdx.x];
  if (barrier) __syncthreads();
  x[threadIdx.x] = shared.value[63 - threadIdx.x];
}

/// Every round shifts the values through shared memory; the second barrier keeps a fast thread from overwriting.
void shift(double* x, bool barrier) {
  Values& shared = shared_memory<Values>();
  for (int round = 0; round < 4; ++round) {
    shared.value[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    x[threadIdx.x] = shared.value[(threadIdx.x + 1) % 64];
    if (barrier) __syncthreads();
  }
}

void half_of_the_block_waits(double*) {
  if (threadIdx.x < 32) __syncthreads();
}

void waits_in_two_places(double*) {
  if (threadIdx.x < 32) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}

void half_of_the_warp_shuffles(double* x) {
  if (threadIdx.x % 2 == 0) x[0] = __shfl_xor_sync(kAllLanes, x[0], 2);
}

void some_lanes_are_named(double*) { __syncwarp(0xffff); }

void warp_operations(double* x) {
  const int lane = static_cast<int>(threadIdx.x % kWarp);
  const double own = static_cast<double>(threadIdx.x);
  x[threadIdx.x] = __shfl_down_sync(kAllLanes, own, 3) + 1000.0 * __shfl_xor_sync(kAllLanes, own, 5) +
                   1e6 * __shfl_sync(kAllLanes, own, 7) + 1e9 * (__ballot_sync(kAllLanes, lane < 4) == 15u);
}

void sums(double* x) {
  const double sum = block_sum(static_cast<double>(threadIdx.x));
  x[threadIdx.x] = sum + block_sum(1.0);
}

/// Two sums through the same memory; without the second barrier a warp that runs ahead overwrites the first sum's
/// parts.
void two_sums(double* x, bool barrier) {
  Values& shared = shared_memory<Values>();
  double result = 0.0;
  for (int round = 1; round <= 2; ++round) {
    const double sum = warp_sum(x[threadIdx.x] * round);
    if (threadIdx.x % kWarp == 0) shared.value[threadIdx.x / kWarp] = sum;
    __syncthreads();
    result += shared.value[0] + shared.value[1];
    if (barrier) __syncthreads();
  }
  x[threadIdx.x] = result;
}

void counts_blocks_across(double* x) {
  if (threadIdx.x == 0) x[blockIdx.x] = blockIdx.x ? 2 * x[blockIdx.x - 1] : 1;
}

/// The blocks of a cluster hand 64 values each to the next block, through memory.
void rotate_blocks(double* x, bool barrier) {
  Values& shared = shared_memory<Values>();  // of the block
  shared.value[threadIdx.x] = x[64 * blockIdx.x + threadIdx.x];
  cluster_arrive();
  const std::int32_t next = (cluster_rank() + 1) % cluster_size();
  if (barrier) cluster_wait();
  x[64 * (static_cast<std::int32_t>(blockIdx.x) - cluster_rank() + next) + static_cast<std::int32_t>(threadIdx.x)] =
      shared.value[threadIdx.x];
  if (!barrier) cluster_wait();
}

void a_block_returns(double*) {
  if (cluster_rank() == 1) return;
  cluster_arrive();
  cluster_wait();
}
void arrives_twice(double*) {
  cluster_arrive();
  cluster_arrive();
}
void waits_at_once(double*) { cluster_wait(); }

/// Small integers: every product and sum is exact.
struct MatrixProduct {
  float bf16[16][8], tf32[16][8];

  static float a(int row, int k) { return static_cast<float>((3 * row + 5 * k) % 7 - 3); }
  static float b(int k, int column) { return static_cast<float>((2 * k + 3 * column) % 5 - 2); }
};

/// 1 + a b; which lane holds what is as in the PTX manual.
void multiply_on_tensor_cores(MatrixProduct* m) {
  const int lane = static_cast<int>(threadIdx.x), g = lane / 4, q = lane % 4;
  const auto pair_a = [&](int row, int k) { return pack_bf16(m->a(row, k), m->a(row, k + 1)); };
  const auto pair_b = [&](int k) { return pack_bf16(m->b(k, g), m->b(k + 1, g)); };
  const std::uint32_t a16[4] = {pair_a(g, 2 * q), pair_a(g + 8, 2 * q), pair_a(g, 2 * q + 8), pair_a(g + 8, 2 * q + 8)};
  const std::uint32_t b16[2] = {pair_b(2 * q), pair_b(2 * q + 8)};
  const float a8[4] = {m->a(g, q), m->a(g + 8, q), m->a(g, q + 4), m->a(g + 8, q + 4)};
  const float b8[2] = {m->b(q, g), m->b(q + 4, g)};
  float d[4] = {1, 1, 1, 1}, e[4] = {1, 1, 1, 1};
  multiply_bf16(d[0], d[1], d[2], d[3], a16, b16);
  multiply_tf32(e[0], e[1], e[2], e[3], a8, b8);
  for (int i = 0; i < 4; ++i) {
    m->bf16[g + i / 2 * 8][2 * q + i % 2] = d[i];
    m->tf32[g + i / 2 * 8][2 * q + i % 2] = e[i];
  }
}

std::vector<double> run(void (*kernel)(double*), unsigned grid = 1) {
  std::vector<double> x(64);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<double>(i);
  launch(kernel, dim3(grid), dim3(64), 0, Stream{}, x.data());
  return x;
}

std::vector<double> run(void (*kernel)(double*, bool), bool barrier) {
  std::vector<double> x(64);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<double>(i);
  launch(kernel, dim3(1), dim3(64), 0, Stream{}, x.data(), barrier);
  return x;
}

}  // namespace

TEST_CASE("emulation: barriers and shared memory") {
  const std::vector<double> reversed = run(reverse, true), shifted = run(shift, true);
  for (std::size_t i = 0; i < 64; ++i) {
    CHECK(reversed[i] == static_cast<double>(63 - i));
    CHECK(shifted[i] == static_cast<double>((i + 4) % 64));
  }
}

TEST_CASE("emulation: shared memory that is read too early is NaN") {
  const std::vector<double> x = run(reverse, false);
  CHECK(std::any_of(x.begin(), x.end(), [](double value) { return std::isnan(value); }));
}

TEST_CASE("emulation: a missing barrier shows between two schedules") {
  const std::vector<double> first = run(shift, false);
  const test::emulation::ScheduleSeed other(2);
  CHECK(run(shift, false) != first);
}

TEST_CASE("emulation: a warp runs ahead where no barrier holds it") {
  const std::vector<double> right(64, 3.0 * 63.0 * 32.0);
  CHECK(run(two_sums, true) == right);
  CHECK(run(two_sums, false) != right);
}

TEST_CASE("emulation: a block that reads another one shows between two schedules") {
  const std::vector<double> first = run(counts_blocks_across, 16);
  const test::emulation::ScheduleSeed other(2);
  CHECK(run(counts_blocks_across, 16) != first);
}

TEST_CASE("emulation: barriers that not all threads reach are errors") {
  const auto error = [](void (*kernel)(double*)) { return test::error_of([&] { run(kernel); }); };
  CHECK_THAT(error(half_of_the_block_waits), Catch::Contains("a barrier that not all threads reach") &&
                                                 Catch::Contains("emulation_test.cpp:") &&
                                                 Catch::Contains("has returned"));
  CHECK_THAT(error(waits_in_two_places), Catch::Contains("a divergent barrier"));
  CHECK_THAT(error(half_of_the_warp_shuffles), Catch::Contains("the warp operation of emulation_test.cpp:"));
  CHECK_THAT(error(some_lanes_are_named), Catch::Contains("expected all lanes"));
}

TEST_CASE("emulation: warp operations and sums") {
  const std::vector<double> x = run(warp_operations), y = run(sums);
  for (std::size_t i = 0; i < 64; ++i) {
    const std::size_t first = i / 32 * 32, lane = i % 32;
    const double down = static_cast<double>(lane + 3 < 32 ? i + 3 : i),
                 other = static_cast<double>(first + (lane ^ 5u));
    CHECK(x[i] == down + 1000.0 * other + 1e6 * static_cast<double>(first + 7) + 1e9);
    CHECK(y[i] == 63.0 * 32.0 + 64.0);
  }
}

TEST_CASE("emulation: tensor cores multiply what the lanes hold, rounded") {
  MatrixProduct m;
  launch(multiply_on_tensor_cores, dim3(1), dim3(32), 0, Stream{}, &m);
  for (int row = 0; row < 16; ++row)
    for (int column = 0; column < 8; ++column) {
      double bf16 = 1.0, tf32 = 1.0;
      for (int k = 0; k < 16; ++k) bf16 += m.a(row, k) * m.b(k, column);
      for (int k = 0; k < 8; ++k) tf32 += m.a(row, k) * m.b(k, column);
      CHECK(m.bf16[row][column] == bf16);
      CHECK(m.tf32[row][column] == tf32);
    }
  CHECK(pack_bf16(1.0f + 0x1p-8f, 1.0f + 0x1.8p-7f) == 0x3f823f80u);  // ties to even
  CHECK(round_tf32(1.0f + 0x1p-11f) == 1.0f + 0x1p-10f);              // ties away from zero
  CHECK(round_tf32(1.0f + 0x1.fp-12f) == 1.0f);
}

TEST_CASE("emulation: the blocks of a cluster run together and wait for each other") {
  const auto run_clusters = [](bool barrier) {
    std::vector<double> x(8 * 64);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<double>(i);
    launch_clusters(rotate_blocks, 2, 4, dim3(64), 0, Stream{}, x.data(), barrier);
    return x;
  };
  for (const std::uint64_t seed : {1, 2}) {
    const test::emulation::ScheduleSeed schedule(seed);
    const std::vector<double> x = run_clusters(true);
    for (std::size_t i = 0; i < x.size(); ++i) {
      const std::size_t block = i / 64, from = block / 4 * 4 + (block + 3) % 4;
      CHECK(x[i] == static_cast<double>(from * 64 + i % 64));
    }
    CHECK(run_clusters(false) != x);
  }
}

TEST_CASE("emulation: barriers of a cluster that not all threads reach are errors") {
  const auto error = [](void (*kernel)(double*), std::int64_t clusters, int size) {
    return test::error_of(
        [&] { launch_clusters(kernel, clusters, size, dim3(64), 0, Stream{}, static_cast<double*>(nullptr)); });
  };
  CHECK_THAT(error(a_block_returns, 1, 2),
             Catch::Contains("the cluster's barrier of emulation_test.cpp:") && Catch::Contains("has returned"));
  CHECK_THAT(error(arrives_twice, 1, 2), Catch::Contains("arrives again"));
  CHECK_THAT(error(waits_at_once, 1, 2), Catch::Contains("without having arrived"));
  CHECK_THAT(error(waits_at_once, 1, 16), Catch::Contains("clusters of at most 8"));
}

TEST_CASE("emulation: what a device would refuse") {
  const auto error = [](unsigned threads, std::size_t shared) {
    return test::error_of(
        [&] { launch(sums, dim3(1), dim3(threads), shared, Stream{}, static_cast<double*>(nullptr)); });
  };
  CHECK_THAT(error(33, 0), Catch::Contains("whole warps"));
  CHECK_THAT(error(2048, 0), Catch::Contains("1024"));
  CHECK_THAT(error(32, 100 << 10), Catch::Contains("shared memory"));
  const test::emulation::SharedBytes shared(test::emulation::SharedBytes::kMost);
  CHECK_THAT(error(32, 200 << 10), Catch::Contains("shared memory"));
}

}  // namespace amend::kernels::emulated_cuda
