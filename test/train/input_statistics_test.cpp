#include "metanet/train/input_statistics.hpp"

#include <catch2/catch.hpp>
#include <cmath>

#include "metanet/model/editor.hpp"
#include "test/support/editor_setup.hpp"
#include "test/support/op_run.hpp"

namespace amend {
namespace {

std::vector<double> statistics_of(const Dataset& dataset, const std::vector<std::string>& attributes) {
  const Tensor statistics({dataset.inputs, kInputStatistics}, DType::float64);
  fill_statistics(dataset, attributes, statistics);
  return test::values(statistics);
}

/// Four people; a number, a column of two levels and one that says nothing; two attributes.
Dataset four_people() {
  Dataset dataset;
  dataset.features = {{.name = "number", .first_input = 0},
                      {.name = "kind", .kind = ColumnKind::categorical, .first_input = 1, .input_count = 2},
                      {.name = "constant", .first_input = 3}};
  dataset.inputs = 4;
  dataset.sensitive = {{"half", {"x", "y"}}, {"third", {"p", "q", "r"}}};
  dataset.editor_train = {.count = 4,
                          .input = {1, 1, 0, 7,  //
                                    2, 0, 1, 7,  //
                                    3, 1, 0, 7,  //
                                    6, 0, 1, 7},
                          .label = {0, 0, 1, 1},
                          .sensitive = {{0, 1, 0, 1}, {0, 0, 2, 2}}};
  return dataset;
}

TEST_CASE("statistics of inputs are those of a small table, computed by hand") {
  Dataset dataset = four_people();
  // number: mean 3, squares about it 4 + 1 + 0 + 9 = 14; means by label 1.5 and 4.5, by half 2 and 4, by third as by
  // label. kind: by half alone.
  const double number = std::sqrt(9.0 / 14), by_half = std::sqrt(4.0 / 14), deviation = std::sqrt(14.0 / 4);
  const double two = std::log10(2.0);
  const std::vector<double> half = {3,   deviation, 0, number, by_half, 0,    //
                                    0.5, 0.5,       1, 0,      1,       two,  //
                                    0.5, 0.5,       1, 0,      1,       two,  //
                                    7,   0,         0, 0,      0,       0};
  const auto near = [](const std::vector<double>& a, const std::vector<double>& b) {
    return test::largest_difference(a, b) < 1e-14;
  };
  CHECK(near(statistics_of(dataset, {"half"}), half));
  std::vector<double> none = half, third = half;
  for (std::size_t i = 0; i < 4; ++i) none[i * 6 + 4] = third[i * 6 + 4] = 0.0;
  third[4] = number;
  CHECK(near(statistics_of(dataset, {}), none));
  CHECK(near(statistics_of(dataset, {"third"}), third));
  // Both together tell everybody's number but that of nobody twice.
  std::vector<double> both = half;
  both[4] = 1.0;
  CHECK(near(statistics_of(dataset, {"half", "third"}), both));

  // The correlation has a sign, that of more classes than two has none.
  std::vector<double> turned = none;
  turned[3] = -number;
  dataset.editor_train.label = {1, 1, 0, 0};
  CHECK(near(statistics_of(dataset, {}), turned));
  dataset.classes = 3;
  dataset.editor_train.label = {2, 2, 0, 0};
  CHECK(near(statistics_of(dataset, {}), none));
}

TEST_CASE("a column that is constant but for rounding tells nothing") {
  Dataset dataset = four_people();
  for (std::size_t row = 0; row < 4; ++row) dataset.editor_train.input[row * 4 + 3] = 0.1f;
  const std::vector<double> statistics = statistics_of(dataset, {"half"});
  CHECK(statistics[3 * 6 + 3] == 0.0);
  CHECK(statistics[3 * 6 + 4] == 0.0);
}

}  // namespace
}  // namespace amend
