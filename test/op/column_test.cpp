#include "kernels/column.hpp"

#include <catch2/catch.hpp>

#include "test/support/random_networks.hpp"

namespace amend {
namespace {

TEST_CASE("a column is read and written, the others are left alone") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const Tensor matrix = test::make_tensor({3, 2}, dtype, {1, 2, 3, 4, 5, 6}), vector({3}, dtype);
  kernels::read_column({.matrix = matrix, .column = 1, .vector = vector}, Stream{});
  CHECK(test::values(vector) == std::vector<double>{2, 4, 6});
  kernels::write_column({.matrix = matrix, .column = 0, .vector = vector}, Stream{});
  CHECK(test::values(matrix) == std::vector<double>{2, 2, 4, 4, 6, 6});
  CHECK_NOTHROW(kernels::read_column({.matrix = Tensor({0, 2}, dtype), .vector = Tensor({0}, dtype)}, Stream{}));
}

TEST_CASE("a column that is not there is an error") {
  const Tensor matrix({3, 2}, DType::float32), vector({3}, DType::float32);
  CHECK_THROWS_WITH(kernels::read_column({.matrix = matrix, .column = 2, .vector = vector}, Stream{}),
                    "[read_column] column 2 is outside (3, 2)");
  CHECK_THROWS_WITH(kernels::write_column({.matrix = matrix, .column = -1, .vector = vector}, Stream{}),
                    "[write_column] column -1 is outside (3, 2)");
  CHECK_THROWS_WITH(kernels::write_column({.matrix = matrix, .vector = Tensor({2}, DType::float32)}, Stream{}),
                    Catch::Contains("`vector` of shape (3), got (2)"));
  CHECK_THROWS_WITH(kernels::read_column({.matrix = matrix, .vector = Tensor({3}, DType::float64)}, Stream{}),
                    Catch::Contains("`vector` of float32"));
}

}  // namespace
}  // namespace amend
