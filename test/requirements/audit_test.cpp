#include "requirements/audit.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <sstream>
#include <vector>

#include "engine/error.hpp"
#include "metanet/graph/predict.hpp"
#include "requirements/metric/utility.hpp"
#include "test/support/random_networks.hpp"

using namespace amend;
using namespace amend::test;
using Catch::Contains;

namespace {

constexpr std::int64_t kRows = 400;

/// Three features (4 inputs), two attributes; labels follow the first input.
Dataset make_dataset() {
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
SubjectNetwork linear_rule(const std::string& name, float a, float sex, float h) {
  return {.name = name,
          .widths = {4, 2},
          .activation = Activation::relu,
          .weights = {0, 0, 0, 0, a, sex, -sex, h},
          .biases = {0, 0}};
}

Population make_population(std::vector<SubjectNetwork> networks) {
  Population population{.dataset_name = "toy", .dataset_fingerprint = "abc", .networks = std::move(networks)};
  population.split.assign(population.networks.size(), PopulationSplit::test);
  return population;
}

Population originals() {
  return make_population(
      {linear_rule("one", 2, 0.1f, 1), linear_rule("two", 2, 0.1f, 1), linear_rule("three", 2, 0.1f, 1)});
}

/// `one` loses the useless feature, `two` a useful one, `three` nothing; in another order than the originals.
Population edits() {
  return make_population(
      {linear_rule("three", 2, 0.1f, 1), linear_rule("one", 2, 0, 1), linear_rule("two", 2, 0.1f, 0)});
}

const NetworkAudit& find(const AuditReport& report, const std::string& name) {
  return *std::find_if(report.networks.begin(), report.networks.end(), [&](const auto& n) { return n.name == name; });
}

const MetricSummary& find(const std::vector<MetricSummary>& metrics, const std::string& name) {
  return *std::find_if(metrics.begin(), metrics.end(), [&](const auto& m) { return m.metric == name; });
}

/// Accuracy on the audit rows, counted here.
double hand_accuracy(const Dataset& dataset, const SubjectNetwork& network) {
  int correct = 0;
  for (std::size_t row = 0; row < kRows; ++row) {
    float score = 0.0f;
    for (std::size_t j = 0; j < 4; ++j) score += network.weights[4 + j] * dataset.audit.input[row * 4 + j];
    correct += (score > 0.0f) == (dataset.audit.label[row] == 1);
  }
  return correct / static_cast<double>(kRows);
}

}  // namespace

TEST_CASE("the audit matches networks by name and measures each before and after") {
  const Dataset dataset = make_dataset();
  const AuditReport report = audit(originals(), edits(), dataset);
  REQUIRE(report.networks.size() == 3);
  const double before = hand_accuracy(dataset, originals().networks[0]);
  for (const SubjectNetwork& network : edits().networks) {
    const NetworkAudit& result = find(report, network.name);
    const double after = hand_accuracy(dataset, network);
    CHECK(result.original_accuracy == Approx(before));
    CHECK(result.accuracy == Approx(after));
    CHECK(result.accuracy_drop == Approx(before - after));
    CHECK(result.accuracy_drop_interval.low <= result.accuracy_drop);
    CHECK(result.accuracy_drop_interval.high >= result.accuracy_drop);
    CHECK(result.accuracy_interval.low < after);
    CHECK(result.divergence_interval.low <= result.divergence);
    CHECK(result.divergence_interval.high >= result.divergence);
    CHECK(result.accuracy_without_unused == result.accuracy);
    CHECK(result.original_features == 3);
  }
  const NetworkAudit &one = find(report, "one"), &two = find(report, "two"), &three = find(report, "three");
  CHECK(three.divergence == 0.0);
  CHECK(three.accuracy_drop_interval.high == 0.0);  // the same network: paired, so no doubt at all
  CHECK(one.features == 2);
  CHECK(one.used_features == std::vector<std::string>{"age", "hours"});
  CHECK(one.sparsity.nonzero_weights == 2);
  CHECK(two.accuracy_drop > 0.02);
  CHECK(two.divergence > one.divergence);

  const MetricSummary& drop = find(report.metrics, "accuracy_drop");
  CHECK(drop.networks == 3);
  CHECK(drop.worst_network == "two");
  CHECK(drop.worst == two.accuracy_drop);
  CHECK(drop.mean == Approx((one.accuracy_drop + two.accuracy_drop) / 3));
  CHECK(drop.median == std::max(std::min(one.accuracy_drop, 0.0), std::min(0.0, two.accuracy_drop)));
  CHECK(find(report.metrics, "accuracy").worst_network == "two");
  CHECK(find(report.metrics, "features").original_mean == 3.0);
  CHECK(find(report.metrics, "features").mean == Approx(7.0 / 3));
  CHECK(report.losing_over_a_point == 1);
  CHECK(report.violations.empty());
}

TEST_CASE("the audit measures fairness over every attribute and, when asked, their intersection") {
  const Dataset dataset = make_dataset();
  AuditOptions options;
  CHECK(audit(originals(), edits(), dataset, options).groupings.size() == 2);
  options.intersection = true;
  const AuditReport report = audit(originals(), edits(), dataset, options);
  REQUIRE(report.groupings.size() == 3);
  CHECK(report.groupings[2].name == "sex & race");
  CHECK(report.groupings[2].groups.size() == 6);

  // Over sex, counted by hand for the edited network `two`.
  const SubjectNetwork& two = edits().networks[2];
  double positive[2] = {}, selected[2] = {}, rows[2] = {};
  for (std::size_t row = 0; row < kRows; ++row) {
    float score = 0.0f;
    for (std::size_t j = 0; j < 4; ++j) score += two.weights[4 + j] * dataset.audit.input[row * 4 + j];
    rows[row % 2] += 1, selected[row % 2] += score > 0.0f, positive[row % 2] += dataset.audit.label[row];
  }
  const FairnessMetrics& sex = find(report, "two").fairness[0].edited;
  CHECK(*sex.demographic_parity_difference.value == Approx(std::abs(selected[0] / rows[0] - selected[1] / rows[1])));
  const GroupSummary& female = report.groupings[0].group[0];
  CHECK(female.name == "Female");
  CHECK(female.rows == 200);
  CHECK(static_cast<double>(female.positives) == positive[0]);
  double mean = 0.0;
  for (const NetworkAudit& network : report.networks)
    mean += *network.fairness[0].edited.groups[0].true_positive_rate.value / 3;
  CHECK(*female.true_positive_rate.value == Approx(mean));

  // Race C has 6 rows: left out, said so, and no number of its own.
  const Grouping& race = report.groupings[1];
  CHECK_FALSE(race.group[2].selection_rate.value);
  CHECK(race.group[2].selection_rate.note == "only 6 rows, minimum 20");
  CHECK_THAT(race.metrics.front().note, Contains("without C"));

  options.attributes = {"race"};
  CHECK(audit(originals(), edits(), dataset, options).groupings.size() == 1);
  options.attributes = {"ethnicity"};
  CHECK_THROWS_AS(audit(originals(), edits(), dataset, options), InputError);
}

TEST_CASE("limits name what breaks them") {
  const Dataset dataset = make_dataset();
  AuditOptions options;
  options.limits.max_accuracy_drop = 0.02;
  options.limits.max_features = 2;
  options.limits.max_nonzero_share = 0.6;
  const AuditReport report = audit(originals(), edits(), dataset, options);
  std::vector<std::string> broken;
  for (const Violation& violation : report.violations) broken.push_back(violation.limit + " " + violation.subject);
  CHECK(broken == std::vector<std::string>{"max_accuracy_drop two", "max_features three"});
  CHECK(report.violations[0].value == find(report, "two").accuracy_drop);
  CHECK(report.violations[0].bound == 0.02);

  options.scope = LimitScope::population_mean;
  const AuditReport mean = audit(originals(), edits(), dataset, options);
  REQUIRE(mean.violations.size() == 1 + (find(mean.metrics, "accuracy_drop").mean > 0.02));
  CHECK(mean.violations.back().limit == "max_features");
  CHECK(mean.violations.back().subject == "mean of 3 networks");

  // A limit that cannot be shown to be met is not met.
  AuditOptions strict;
  strict.attributes = {"race"};
  strict.minimum_rows = 1000;
  strict.limits.max_equalised_odds = 1.0;
  const AuditReport unknown = audit(originals(), edits(), dataset, strict);
  REQUIRE(unknown.violations.size() == 3);
  CHECK_FALSE(unknown.violations[0].value);
  CHECK_THAT(unknown.violations[0].note, Contains("insufficient evidence"));
  CHECK_FALSE(find(unknown.groupings[0].metrics, "equalised_odds_difference").networks);
  CHECK(to_json(unknown)["fairness"]["race"]["metrics"]["equalised_odds_difference"]["mean"].is_null());
  CHECK_THAT(format_table(unknown), Contains("for lack of evidence"));

  Dataset plain = make_dataset();
  plain.sensitive.clear();
  plain.audit.sensitive.clear();
  strict.attributes.clear();
  CHECK_THROWS_AS(audit(originals(), edits(), plain, strict), InputError);
}

TEST_CASE("the audit refuses what does not belong together") {
  const Dataset dataset = make_dataset();
  Population edited = edits();
  edited.networks[1].name = "uno";
  CHECK_THROWS_WITH(audit(originals(), edited, dataset), Contains("edited population") && Contains("`one`"));
  Population fewer = originals();
  fewer.networks.pop_back();
  CHECK_THROWS_WITH(audit(fewer, edits(), dataset), Contains("original population") && Contains("`three`"));
  edited.networks[1].name = "two";
  CHECK_THROWS_WITH(audit(originals(), edited, dataset), Contains("twice"));
  Population other = edits();
  other.dataset_fingerprint = "xyz";
  CHECK_THROWS_WITH(audit(originals(), other, dataset), Contains("fingerprint"));
  Population wider = edits();
  wider.networks[0].widths = {3, 2};
  wider.networks[0].weights.resize(6);
  CHECK_THROWS_WITH(audit(originals(), wider, dataset), Contains("3 inputs"));
  AuditOptions options;
  options.split = DataSplit::validation;
  CHECK_THROWS_WITH(audit(originals(), edits(), dataset, options), Contains("validation has no rows"));
  options = {};
  options.networks = PopulationSplit::validation;
  CHECK_THROWS_AS(audit(originals(), edits(), dataset, options), InputError);
}

TEST_CASE("an audit of part of a population and one of many networks agree network by network") {
  Dataset dataset = make_dataset();
  std::vector<SubjectNetwork> before, after;
  for (std::uint64_t n = 0; n < 7; ++n) {
    before.push_back(random_network({4, 3 + static_cast<int>(n), 2}, Activation::silu, n));
    before.back().name = "n" + std::to_string(n);
    after.push_back(before.back());
    for (float& weight : after.back().weights) weight *= std::abs(weight) < 0.3f ? 0.0f : 1.0f;
  }
  Population original = make_population(before), edited = make_population(after);
  edited.split[4] = edited.split[6] = PopulationSplit::validation;
  AuditOptions options;
  const AuditReport all = audit(original, edited, dataset, options);
  options.networks = PopulationSplit::validation;
  const AuditReport part = audit(original, edited, dataset, options);
  REQUIRE(part.networks.size() == 2);
  for (const NetworkAudit& network : part.networks) {
    const NetworkAudit& same = find(all, network.name);
    CHECK(network.accuracy == same.accuracy);
    CHECK(network.divergence == same.divergence);
    CHECK(network.divergence_interval.high == same.divergence_interval.high);
  }
}

TEST_CASE("reports fit the terminal and the JSON holds the same numbers") {
  const Dataset dataset = make_dataset();
  AuditOptions options;
  options.limits.max_accuracy_drop = 0.02;
  options.limits.max_divergence = 0.69;
  const AuditReport report = audit(originals(), edits(), dataset, options);
  const nlohmann::ordered_json json = to_json(report);
  CHECK(json["networks"].size() == 3);
  CHECK(json["population"]["accuracy_drop"]["mean"] == find(report.metrics, "accuracy_drop").mean);
  CHECK(json["networks"][2]["name"] == "two");
  CHECK(json["networks"][2]["accuracy"]["drop"] == find(report, "two").accuracy_drop);
  CHECK(json["limits"]["max_accuracy_drop"] == 0.02);
  CHECK(json["violations"].size() == 1);
  CHECK(json["fairness"]["race"]["groups"][2]["selection_rate"]["edited"]["value"].is_null());
  CHECK(nlohmann::ordered_json::parse(json.dump()) == json);

  for (int width : {72, 80, 100, 140}) {
    const std::string table = format_table(report, width);
    std::istringstream lines(table);
    for (std::string line; std::getline(lines, line);)
      if (line.find("without") == std::string::npos) {
        INFO(line);
        CHECK(static_cast<int>(line.size()) <= width);
      }
    CHECK_THAT(table, Contains("1 of 3 networks lose more than one point"));
    CHECK_THAT(table, Contains("NOT MET  max_accuracy_drop 0.02: 1 broken"));
    CHECK_THAT(table, Contains("met      max_divergence 0.69"));
    CHECK_THAT(table, Contains("too few rows"));
    CHECK(table.find('\x1b') == std::string::npos);
  }
  CHECK_THAT(format_table(report, 100, true), Contains("\x1b["));

  const AuditReport single =
      audit(make_population({originals().networks[1]}), make_population({edits().networks[2]}), dataset);
  CHECK_THAT(format_table(single), Contains("Audit of network `two`"));
  CHECK_FALSE(find(single.metrics, "accuracy").interval);
}
