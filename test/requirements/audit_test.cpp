#include "requirements/audit.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <sstream>
#include <vector>

#include "engine/error.hpp"
#include "test/requirements/toy_audit.hpp"
#include "test/support/random_networks.hpp"

using namespace amend;
using namespace amend::test;
using Catch::Contains;

namespace {

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
  CHECK_THROWS_WITH(audit(originals(), edits(), dataset, options), Contains("--intersection: needs two"));
  options.intersection = false;
  CHECK(audit(originals(), edits(), dataset, options).groupings.size() == 1);
  options.attributes = {"race", "race"};
  CHECK_THROWS_WITH(audit(originals(), edits(), dataset, options), Contains("--sensitive: `race` is named twice"));
  options.attributes = {"ethnicity"};
  CHECK_THROWS_AS(audit(originals(), edits(), dataset, options), InputError);
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
    const std::string table = format_table(report, {.width = width});
    std::istringstream lines(table);
    for (std::string line; std::getline(lines, line);)
      if (line.find("without") == std::string::npos) {
        INFO(line);
        CHECK(static_cast<int>(line.size()) <= width);
      }
    CHECK_THAT(table, Contains("1 of 3 networks lose more than one point"));
    CHECK_THAT(table, Contains("NOT MET  --max-accuracy-drop 2 (points): 1 broken, worst " +
                               rounded(100.0 * find(report, "two").accuracy_drop, 2) + " by two"));
    CHECK_THAT(table, Contains("met      --max-divergence 0.69 (nats)"));
    CHECK_THAT(table, Contains("too few rows"));
    CHECK(table.find('\x1b') == std::string::npos);
  }
  CHECK_THAT(format_table(report, {.color = true}), Contains("\x1b["));

  const AuditReport single =
      audit(make_population({originals().networks[1]}), make_population({edits().networks[2]}), dataset);
  const std::string table = format_table(single);
  CHECK_THAT(table, Contains("Audit of network `two`") && !Contains("  lost, points"));
  CHECK_FALSE(find(single.metrics, "accuracy").interval);
  // Intervals over the rows, beside the value they belong to.
  const auto check_row = [&](const std::string& label, double value, const Interval& interval, int decimals) {
    const std::size_t begin = table.find("\n  " + label + "  ");
    REQUIRE(begin != std::string::npos);
    const std::string row = table.substr(begin + 1, table.find('\n', begin + 1) - begin - 1);
    INFO(row);
    CHECK_THAT(row, Contains("  " + rounded(value, decimals) + "  "));
    CHECK(row.ends_with("  " + rounded(interval.low, decimals) + " .. " + rounded(interval.high, decimals)));
  };
  const auto percent = [](const Interval& share) { return Interval{100.0 * share.low, 100.0 * share.high}; };
  const NetworkAudit& two = single.networks[0];
  const Estimate& odds = two.fairness[0].edited.equalised_odds_difference;
  check_row("accuracy, %", 100.0 * two.accuracy, percent(two.accuracy_interval), 2);
  check_row("accuracy lost, points", 100.0 * two.accuracy_drop, percent(two.accuracy_drop_interval), 2);
  check_row("Jensen-Shannon, nats", two.divergence, two.divergence_interval, 4);
  check_row("equalised odds", *odds.value, *odds.interval, 3);
}

TEST_CASE("the table lists as many networks as asked for, with every requirement's metric") {
  const AuditReport report = audit(originals(), edits(), make_dataset());
  const auto listed = [&](std::size_t networks) {
    const std::string table = format_table(report, {.width = 140, .networks = networks});
    const std::size_t end = table.find("Fairness over");
    const std::string rows = table.substr(table.find("  lost, points  "), end - table.find("  lost, points  "));
    return static_cast<int>(std::count(rows.begin(), rows.end(), '\n')) - 2;
  };
  CHECK(listed(1) == 1);
  CHECK(listed(2) == 2);
  CHECK(listed(3) == 3);
  CHECK(listed(100) == 3);
  const std::string table = format_table(report, {.width = 140, .networks = 1});
  CHECK_THAT(table, Contains("The network that loses most accuracy"));
  for (const char* column : {"lost, points", "JS, nats", "features", "weights, %", "odds, sex", "odds, race"})
    CHECK_THAT(table, Contains(column));
}
