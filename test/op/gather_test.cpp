#include "kernels/gather.hpp"

#include <catch2/catch.hpp>

#include "test/support/random_networks.hpp"

namespace amend {
namespace {

TEST_CASE("gather_rows copies the rows asked for, in their order") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const Tensor x = test::make_tensor({3, 2}, DType::float32, {1, 2, 3, 4, 5, 6}), y({4, 2}, dtype);
  const Tensor index = test::make_tensor({4}, DType::int32, {2, 0, 2, 1});
  kernels::gather_rows({.x = x, .index = index, .y = y}, Stream{});
  CHECK(test::values(y) == std::vector<double>{5, 6, 1, 2, 5, 6, 3, 4});
  CHECK_NOTHROW(kernels::gather_rows({.x = x, .index = Tensor({0}, DType::int32), .y = Tensor({0, 2}, dtype)}, {}));
}

TEST_CASE("gather_segments copies the runs asked for in every plane") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const Tensor x = test::make_tensor({2, 5}, dtype, {0, 1, 2, 3, 4, 10, 11, 12, 13, 14}), y({2, 4}, dtype);
  const std::int64_t offset[] = {0, 1, 1, 4}, first[] = {3, 0, 2};
  kernels::gather_segments({.x = x, .first = first, .segments = {offset, 3}, .y = y}, Stream{});
  CHECK(test::values(y) == std::vector<double>{3, 2, 3, 4, 13, 12, 13, 14});
}

TEST_CASE("gather: what is not there is an error") {
  const Tensor x({3, 2}, DType::float32), y({1, 2}, DType::float32);
  for (const double row : {-1.0, 3.0})
    CHECK_THROWS_WITH(
        kernels::gather_rows({.x = x, .index = test::make_tensor({1}, DType::int32, {row}), .y = y}, Stream{}),
        Catch::Contains("of row 0 is outside (3, 2)"));
  CHECK_THROWS_WITH(kernels::gather_rows({.x = x, .index = Tensor({2}, DType::int32), .y = y}, Stream{}),
                    "[gather_rows] expected `y` of shape (2, 2), got (1, 2)");
  const std::int64_t offset[] = {0, 2}, first[] = {1};
  CHECK_THROWS_WITH(kernels::gather_segments({.x = x, .first = first, .segments = {offset, 1}, .y = y}, Stream{}),
                    "[gather_segments] expected `y` of shape (3, 2), got (1, 2)");
  const Tensor three({3, 2}, DType::float32), wide({3, 3}, DType::float32);
  CHECK_THROWS_WITH(kernels::gather_segments({.x = x, .first = first, .segments = {offset, 1}, .y = three}, Stream{}),
                    "[gather_segments] segment 0 reads 1 to 3 of (3, 2)");
  CHECK_THROWS_WITH(kernels::gather_segments({.x = x, .first = first, .segments = {offset, 1}, .y = wide}, Stream{}),
                    "[gather_segments] segments cover 2 rows of 3");
}

}  // namespace
}  // namespace amend
