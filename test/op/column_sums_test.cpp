#include "kernels/cpu/column_sums.hpp"

#include <catch2/catch.hpp>
#include <vector>

#include "engine/random.hpp"

namespace amend::kernels::cpu {
namespace {

TEST_CASE("column sums of any width and number of rows are those of a plain loop, and write nothing else") {
  const RandomStream random(3, 1);
  const std::int64_t cols = GENERATE(1, 2, 3, 4, 7, 8, 15, 16, 17, 33, 104), rows = GENERATE(0, 1, 5, 16, 250);
  CAPTURE(cols, rows);
  std::vector<double> x(static_cast<std::size_t>(rows * cols));
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = random.uniform(i) - 0.5;
  std::vector<double> sum(static_cast<std::size_t>(cols) + 1, 7.0), square = sum, only = sum;
  double* const sums[] = {sum.data(), square.data()};
  column_sums(rows, cols, sums, [&](std::int64_t r, std::int64_t i, auto load, auto& to) {
    const auto value = load(x.data() + r * cols + i);
    to[0] += value;
    to[1] += value * value;
  });
  column_sums(x.data(), rows, cols, only.data());
  for (std::int64_t i = 0; i < cols; ++i) {
    double plain = 0.0, squares = 0.0;
    for (std::int64_t r = 0; r < rows; ++r) {
      const double value = x[static_cast<std::size_t>(r * cols + i)];
      plain += value;
      squares += value * value;
    }
    const auto at = static_cast<std::size_t>(i);
    CHECK(sum[at] == Approx(plain).margin(1e-13));
    CHECK(square[at] == Approx(squares).margin(1e-13));
    CHECK(only[at] == sum[at]);
  }
  CHECK((sum.back() == 7.0 && square.back() == 7.0 && only.back() == 7.0));
}

}  // namespace
}  // namespace amend::kernels::cpu
