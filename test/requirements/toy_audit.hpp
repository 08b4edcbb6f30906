#pragma once

#include <algorithm>
#include <iomanip>
#include <sstream>
#include <string>
#include <vector>

#include "requirements/audit.hpp"
#include "test/support/random_networks.hpp"

namespace amend::test {

inline constexpr std::int64_t kRows = 400;

/// Three features (4 inputs), two attributes; labels follow the first input.
inline Dataset make_dataset() {
  Dataset dataset{.name = "toy", .fingerprint = "abc"};
  dataset.features = {{.name = "age", .first_input = 0, .input_count = 1},
                      {.name = "sex", .kind = ColumnKind::categorical, .first_input = 1, .input_count = 2},
                      {.name = "hours", .first_input = 3, .input_count = 1}};
  dataset.inputs = 4;
  dataset.sensitive = {{"sex", {"Female", "Male"}}, {"race", {"A", "B", "C"}}};
  Rows& rows = dataset.audit;
  rows.count = kRows;
  const Tensor x = random_tensor({kRows, 4}, DType::float32, 3);
  rows.input.assign(x.as<float>(), x.as<float>() + x.count());
  rows.sensitive.resize(2);
  for (std::size_t row = 0; row < kRows; ++row) {
    rows.label.push_back(rows.input[row * 4] + 0.5f * rows.input[row * 4 + 3] > 0.0f);
    rows.sensitive[0].push_back(static_cast<std::int32_t>(row % 2));
    rows.sensitive[1].push_back(row < 6 ? 2 : static_cast<std::int32_t>(row / 2 % 2));
  }
  return dataset;
}

/// Answers class 1 when `age * a + hours * h > 0`; the sex columns have weight `sex`.
inline SubjectNetwork linear_rule(const std::string& name, float a, float sex, float h) {
  return {.name = name,
          .widths = {4, 2},
          .activation = Activation::relu,
          .weights = {0, 0, 0, 0, a, sex, -sex, h},
          .biases = {0, 0}};
}

inline Population make_population(std::vector<SubjectNetwork> networks) {
  Population population{.dataset_name = "toy", .dataset_fingerprint = "abc", .networks = std::move(networks)};
  population.split.assign(population.networks.size(), PopulationSplit::test);
  return population;
}

inline Population originals() {
  return make_population(
      {linear_rule("one", 2, 0.1f, 1), linear_rule("two", 2, 0.1f, 1), linear_rule("three", 2, 0.1f, 1)});
}

/// `one` loses the useless feature, `two` a useful one, `three` nothing; in another order than the originals.
inline Population edits() {
  return make_population(
      {linear_rule("three", 2, 0.1f, 1), linear_rule("one", 2, 0, 1), linear_rule("two", 2, 0.1f, 0)});
}

inline const NetworkAudit& find(const AuditReport& report, const std::string& name) {
  return *std::find_if(report.networks.begin(), report.networks.end(), [&](const auto& n) { return n.name == name; });
}

inline const MetricSummary& find(const std::vector<MetricSummary>& metrics, const std::string& name) {
  return *std::find_if(metrics.begin(), metrics.end(), [&](const auto& m) { return m.metric == name; });
}

inline std::string rounded(double value, int decimals) {
  std::ostringstream out;
  out << std::fixed << std::setprecision(decimals) << value;
  return out.str();
}

}  // namespace amend::test
