#include "kernels/column.hpp"

#include "test/support/twins.hpp"

AMEND_TWINS(read_column, Column)
AMEND_TWINS(write_column, Column)

namespace amend::test {
namespace {

TEST_CASE("cuda column copies") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const std::int64_t rows = GENERATE(0, 1, 300);
  for (std::int64_t column : {0, 2}) {
    const std::vector<Tensor> got = compare_twins("pointwise", [&](Twin twin) {
      const Tensor matrix = random_tensor({rows, 3}, dtype, 1), read = unset({rows}, dtype);
      twins::read_column(twin, {.matrix = matrix, .column = column, .vector = read});
      twins::write_column(twin, {.matrix = matrix, .column = 1, .vector = random_tensor({rows}, dtype, 2)});
      return std::vector<Tensor>{read, matrix};
    });
    const Matrix matrix(random_tensor({rows, 3}, dtype, 1));
    for (std::int64_t row = 0; row < rows; ++row)
      CHECK(values(got[0])[static_cast<std::size_t>(row)] == matrix(row, column));
  }
}

}  // namespace
}  // namespace amend::test
