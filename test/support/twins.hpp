#pragma once

#include <catch2/catch.hpp>
#include <limits>
#include <string_view>
#include <vector>

#include "test/support/cuda_emulation/device.hpp"
#include "test/support/mirror.hpp"
#include "test/support/op_run.hpp"
#include "test/support/tolerance.hpp"
#include "test/support/twin_device.hpp"

namespace amend::test {

enum class Twin { cpu, cuda };

/// A tensor that nobody has written: NaN.
inline Tensor unset(Shape shape, DType dtype) {
  return make_tensor(
      shape, dtype,
      std::vector<double>(static_cast<std::size_t>(shape.count()), std::numeric_limits<double>::quiet_NaN()));
}

/// Runs `pass(twin)`, which returns the tensors it wrote, on the CPU and twice on `twin_device()`, emulated with two
/// schedules: the first two must agree within the tolerance named `entry`, the last two in every bit.
/// `magnitudes`, when given, replace the largest absolute value of the outputs. Returns what the CUDA twin wrote.
template <class Pass>
std::vector<Tensor> compare_twins(std::string_view entry, const Pass& pass, std::vector<double> magnitudes = {}) {
  const std::vector<Tensor> expected = pass(Twin::cpu), got = pass(Twin::cuda);
  REQUIRE(expected.size() == got.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    const std::vector<double> want = values(expected[i]);
    const double magnitude = i < magnitudes.size() ? magnitudes[i] : largest(want);
    const double error = largest_difference(values(got[i]), want),
                 bound = tolerance(entry, got[i].view().dtype, magnitude);
    INFO("output " << i << ": error " << error << ", tolerance " << bound);
    CHECK(error <= bound);
  }
  const emulation::ScheduleSeed schedule(8);  // even, and the one in force is odd
  const std::vector<Tensor> again = pass(Twin::cuda);
  for (std::size_t i = 0; i < got.size(); ++i) {
    INFO("output " << i << ", the second run");
    CHECK(same_bits(again[i], got[i]));
  }
  return got;
}

}  // namespace amend::test

/// Declares the emulated CUDA twin of a kernel and `twins::<name>(which)`, which picks one of the two; where
/// `twin_device()` is a CUDA device the twin of the build runs there.
#define AMEND_TWINS(name, Args)                                                              \
  namespace amend::kernels::emulated_cuda {                                                  \
  void name(const Args& args, Stream stream);                                                \
  }                                                                                          \
  namespace amend::test::twins {                                                             \
  inline void name(Twin twin, const kernels::Args& args) {                                   \
    if (twin == Twin::cuda && twin_device().is_cuda())                                       \
      return run_mirrored(#name, kernels::cuda::name, args, twin_device());                  \
    (twin == Twin::cpu ? kernels::cpu::name : kernels::emulated_cuda::name)(args, Stream{}); \
  }                                                                                          \
  }
