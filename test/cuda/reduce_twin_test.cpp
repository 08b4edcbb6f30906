#include "kernels/reduce.hpp"

#include "test/support/twins.hpp"

AMEND_TWINS(weighted_sum_forward, WeightedSum)
AMEND_TWINS(weighted_sum_backward, WeightedSumGradient)
AMEND_TWINS(segment_mean_forward, SegmentMean)
AMEND_TWINS(segment_mean_backward, SegmentMeanGradient)
AMEND_TWINS(segment_add_forward, SegmentAdd)
AMEND_TWINS(segment_add_backward, SegmentAddGradient)

namespace amend::test {
namespace {

TEST_CASE("cuda weighted_sum") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  for (std::int64_t n : {0, 1, 5000}) {  // two chunks
    const Tensor x = random_tensor({n}, dtype, 1), weight = random_tensor({n}, dtype, 2);
    const auto run = [&](Twin twin) {
      const Tensor y = unset({1}, dtype), grad_x = random_tensor({n}, dtype, 4);
      twins::weighted_sum_forward(twin, {.x = x, .weight = weight, .y = y});
      twins::weighted_sum_backward(
          twin,
          {.forward = {.x = x, .weight = weight, .y = y}, .grad_y = random_tensor({1}, dtype, 3), .grad_x = grad_x});
      return std::vector<Tensor>{y, grad_x};
    };
    compare_twins("reduce", run, {0.64 * static_cast<double>(n), 5.0});  // the sum of absolute terms
  }
}

/// y, grad_x of the mean; y, grad_x, grad_term of the addition.
std::vector<Tensor> segment_operations(Twin twin, const kernels::Segments& segments, const TensorView& x,
                                       const TensorView& term, const TensorView& grad_mean, const TensorView& grad_y) {
  const DType dtype = x.dtype;
  const Tensor mean = unset(term.shape, dtype), grad_mean_x = random_tensor(x.shape, dtype, 5),
               y = unset(x.shape, dtype), grad_x = convert(x, dtype), grad_term = convert(term, dtype);
  twins::segment_mean_forward(twin, {.x = x, .segments = segments, .y = mean});
  twins::segment_mean_backward(
      twin, {.forward = {.x = x, .segments = segments, .y = mean}, .grad_y = grad_mean, .grad_x = grad_mean_x});
  const kernels::SegmentAdd add{.x = x, .term = term, .segments = segments, .y = y};
  twins::segment_add_forward(twin, add);
  twins::segment_add_backward(twin, {.forward = add, .grad_y = grad_y, .grad_x = grad_x, .grad_term = grad_term});
  return {mean, grad_mean_x, y, grad_x, grad_term};
}

TEST_CASE("cuda segment_mean and segment_add") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const std::int64_t width = GENERATE(1, 7, 40);
  const std::vector<std::int64_t> offset = {0, 0, 1, 90, 90, 300};  // empty ones, also at the start
  const kernels::Segments segments{offset.data(), 5};
  const Tensor x = random_tensor({300, width}, dtype, 1), term = random_tensor({5, width}, dtype, 2),
               grad_mean = random_tensor({5, width}, dtype, 3), grad_y = random_tensor({300, width}, dtype, 4);
  const auto run = [&](Twin twin) { return segment_operations(twin, segments, x, term, grad_mean, grad_y); };
  const std::vector<Tensor> all = compare_twins("reduce", run);
  for (std::int64_t s = 0; s < 5; ++s) {  // the same bits alone
    const std::int64_t first = offset[static_cast<std::size_t>(s)],
                       count = offset[static_cast<std::size_t>(s) + 1] - first;
    const std::vector<std::int64_t> own = {0, count};
    const std::vector<Tensor> alone =
        segment_operations(Twin::cuda, {own.data(), 1}, slice_rows(x, first, count), slice_rows(term, s, 1),
                           slice_rows(grad_mean, s, 1), slice_rows(grad_y, first, count));
    CHECK(same_bits(alone[0], slice_rows(all[0], s, 1)));
    CHECK(same_bits(alone[2], slice_rows(all[2], first, count)));
    CHECK(same_bits(alone[4], slice_rows(all[4], s, 1)));
  }
}

TEST_CASE("cuda segment operations of no segments") {
  const std::vector<std::int64_t> offset = {0};
  const Tensor none({0, 3}, DType::float32);
  CHECK_NOTHROW(segment_operations(Twin::cuda, {offset.data(), 0}, none, none, none, none));
}

}  // namespace
}  // namespace amend::test
