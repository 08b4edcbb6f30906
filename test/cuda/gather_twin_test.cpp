#include "kernels/gather.hpp"

#include <cmath>

#include "test/support/twins.hpp"

AMEND_TWINS(gather_rows, GatherRows)
AMEND_TWINS(gather_segments, GatherSegments)

namespace amend::test {
namespace {

TEST_CASE("cuda gather_rows copies the rows of any index") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const std::int64_t count = GENERATE(0, 1, 200);
  compare_twins("pointwise", [&](Twin twin) {
    const Tensor x = random_tensor({9, 7}, DType::float32, 1), y = unset({count, 7}, dtype);
    Tensor index({count}, DType::int32);
    for (std::int64_t i = 0; i < count; ++i) index.as<std::int32_t>()[i] = static_cast<std::int32_t>(5 * i % 9);
    twins::gather_rows(twin, {.x = x, .index = index, .y = y});
    return std::vector<Tensor>{y};
  });
}

TEST_CASE("cuda gather_segments copies runs, empty ones too") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const std::int64_t planes = GENERATE(1, 3);
  const std::vector<std::int64_t> offset = {0, 5, 5, 305, 310}, first = {400, 0, 7, 402}, none = {0};
  compare_twins("pointwise", [&](Twin twin) {
    const Tensor x = random_tensor({planes, 407}, dtype, 1), y = unset({planes, 310}, dtype);
    twins::gather_segments(twin, {.x = x, .first = first.data(), .segments = {offset.data(), 4}, .y = y});
    const Tensor empty = unset({planes, 0}, dtype);
    twins::gather_segments(twin, {.x = x, .first = first.data(), .segments = {none.data(), 0}, .y = empty});
    return std::vector<Tensor>{y, empty};
  });
}

TEST_CASE("cuda gather gives NaN for what is not there") {
  const Tensor x = random_tensor({2, 3}, DType::float32, 1), y = unset({3, 3}, DType::float32);
  const Tensor index = make_tensor({3}, DType::int32, {1, 2, -1});
  twins::gather_rows(Twin::cuda, {.x = x, .index = index, .y = y});
  CHECK(values(y)[0] == values(x)[3]);
  CHECK(std::isnan(values(y)[3]));
  CHECK(std::isnan(values(y)[6]));
  const std::vector<std::int64_t> offset = {0, 3}, first = {1};
  const Tensor run = unset({2, 3}, DType::float32);
  twins::gather_segments(Twin::cuda, {.x = x, .first = first.data(), .segments = {offset.data(), 1}, .y = run});
  CHECK(values(run)[0] == values(x)[1]);
  CHECK(std::isnan(values(run)[2]));
}

}  // namespace
}  // namespace amend::test
