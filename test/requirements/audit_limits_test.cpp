#include "requirements/audit_limits.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <iterator>
#include <limits>
#include <set>
#include <utility>
#include <vector>

#include "engine/error.hpp"
#include "test/requirements/toy_audit.hpp"
#include "test/support/random_networks.hpp"

using namespace amend;
using namespace amend::test;
using Catch::Contains;

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

TEST_CASE("every limit is held against its own metric") {
  struct Held {
    const char* limit;
    std::optional<double> AuditLimits::*bound;
    double (*value)(const NetworkAudit&);
  };
  using A = NetworkAudit;
  static const auto fairness = [](const A& a) -> const FairnessMetrics& { return a.fairness[0].edited; };
  const Held table[] = {
      {"max_accuracy_drop", &AuditLimits::max_accuracy_drop, [](const A& a) { return a.accuracy_drop; }},
      {"max_divergence", &AuditLimits::max_divergence, [](const A& a) { return a.divergence; }},
      {"max_features", &AuditLimits::max_features, [](const A& a) { return static_cast<double>(a.features); }},
      {"max_nonzero_share", &AuditLimits::max_nonzero_share, [](const A& a) { return a.sparsity.nonzero_share; }},
      {"max_live_neurons", &AuditLimits::max_live_neurons,
       [](const A& a) { return static_cast<double>(a.sparsity.live_neurons); }},
      {"max_equalised_odds", &AuditLimits::max_equalised_odds,
       [](const A& a) { return *fairness(a).equalised_odds_difference.value; }},
      {"max_equalised_odds_sum", &AuditLimits::max_equalised_odds_sum,
       [](const A& a) { return *fairness(a).equalised_odds_sum.value; }},
      {"max_demographic_parity", &AuditLimits::max_demographic_parity,
       [](const A& a) { return *fairness(a).demographic_parity_difference.value; }},
      {"max_equal_opportunity", &AuditLimits::max_equal_opportunity,
       [](const A& a) { return *fairness(a).equal_opportunity_difference.value; }},
  };
  REQUIRE(std::size(table) == limit_table().size());

  const Dataset dataset = make_dataset();
  std::vector<SubjectNetwork> before, after;
  for (std::uint64_t n = 0; n < 5; ++n) {
    before.push_back(random_network({4, 3 + static_cast<int>(n), 2}, Activation::silu, n));
    before.back().name = "n" + std::to_string(n);
    after.push_back(before.back());
    for (float& weight : after.back().weights) weight *= std::abs(weight) < 0.5f ? 0.0f : 1.0f;
  }
  const Population original = make_population(before), edited = make_population(after);
  const AuditReport report = audit(original, edited, dataset, {.attributes = {"sex"}});
  std::set<double> distinct;  // a swap of two metrics must show
  for (const Held& held : table) {
    double mean = 0.0, worst = held.value(report.networks[0]);
    for (const NetworkAudit& network : report.networks) {
      mean += held.value(network) / static_cast<double>(report.networks.size());
      worst = std::max(worst, held.value(network));
    }
    distinct.insert(std::round(1e4 * mean));
    for (const auto& [scope, value] :
         {std::pair{LimitScope::population_mean, mean}, std::pair{LimitScope::every_network, worst}}) {
      CAPTURE(held.limit, value);
      AuditOptions options{.attributes = {"sex"}, .scope = scope};
      options.limits.*held.bound = value + 1e-5;
      CHECK(audit(original, edited, dataset, options).violations.empty());
      options.limits.*held.bound = value - 1e-5;
      const AuditReport broken = audit(original, edited, dataset, options);
      REQUIRE_FALSE(broken.violations.empty());
      CHECK(broken.violations[0].limit == held.limit);
      CHECK(*broken.violations[0].value == Approx(value));
      CHECK(broken.violations[0].exceeded);
      CHECK(find_limit(held.limit).bound == held.bound);
    }
  }
  CHECK(distinct.size() == std::size(table));
}

TEST_CASE("a gap that leaves a group out meets no limit, unless small groups are ignored") {
  const Dataset dataset = make_dataset();  // race C has 6 rows
  AuditOptions options{.attributes = {"race"}};
  options.limits.max_demographic_parity = 1.0;
  options.limits.max_equal_opportunity = 0.0;
  for (const LimitScope scope : {LimitScope::population_mean, LimitScope::every_network}) {
    options.scope = scope;
    options.ignore_small_groups = false;
    const AuditReport strict = audit(originals(), edits(), dataset, options);
    REQUIRE(strict.violations.size() == (scope == LimitScope::population_mean ? 2 : 6));
    const Violation& parity = strict.violations.front();
    CHECK(parity.limit == "max_demographic_parity");
    CHECK(*parity.value < 1.0);
    CHECK_FALSE(parity.exceeded);
    CHECK(parity.left_out == std::vector<std::string>{"C"});
    CHECK(parity.note == "without C: only 6 rows, minimum 20");
    CHECK_THAT(violation_text(parity),
               Contains("--max-demographic-parity 1 (gap of rates)") && Contains("without C: only 6 rows, minimum 20"));
    CHECK(strict.violations.back().exceeded);
    const std::string table = format_table(strict);
    CHECK_THAT(table, Contains("NOT MET  --max-demographic-parity 1 (gap of rates): ") &&
                          Contains("for lack of evidence\n           over race, without C: only 6 rows, minimum 20"));
    const nlohmann::ordered_json json = to_json(strict);
    CHECK(json["violations"][0]["left_out"][0] == "C");
    CHECK(json["fairness"]["race"]["metrics"]["demographic_parity_difference"]["left_out"][0] == "C");

    options.ignore_small_groups = true;
    const AuditReport loose = audit(originals(), edits(), dataset, options);
    REQUIRE_FALSE(loose.violations.empty());
    for (const Violation& violation : loose.violations) CHECK(violation.limit == "max_equal_opportunity");
    CHECK_THAT(format_table(loose),
               Contains("met      --max-demographic-parity 1 (gap of rates), small groups ignored"));
  }
  // No group is left to compare: the flag cannot help.
  options.minimum_rows = 1000;
  CHECK(audit(originals(), edits(), dataset, options).violations.size() == 6);
}

TEST_CASE("limits are numbers of their own range") {
  for (const Limit& limit : limit_table()) {
    CAPTURE(limit.name);
    CHECK(parse_bound(limit, "0.25") == 0.25);
    CHECK(parse_bound(limit, rounded(limit.low, 4)) == limit.low);
    for (const char* text : {"nan", "inf", "-inf", "-101", "", "1x", "one", "1e999"})
      CHECK_FALSE(parse_bound(limit, text));
    if (std::isfinite(limit.high)) {
      CHECK(parse_bound(limit, rounded(limit.high, 4)) == limit.high);
      CHECK_FALSE(parse_bound(limit, rounded(limit.high + 0.0001, 4)));
    }
    CHECK_FALSE(parse_bound(limit, rounded(limit.low - 0.0001, 4)));
    AuditOptions options;
    options.limits.*limit.bound = (limit.low - 0.0001) / limit.scale;
    CHECK_THROWS_WITH(audit(originals(), edits(), make_dataset(), options), Contains(limit_option(limit)));
    options.limits.*limit.bound = std::numeric_limits<double>::quiet_NaN();
    CHECK_THROWS_AS(audit(originals(), edits(), make_dataset(), options), InputError);
  }
  CHECK(bound_text(find_limit("max_accuracy_drop"), 0.01) == "--max-accuracy-drop 1 (points)");
  CHECK(range_text(find_limit("max_divergence")) == "0 to 0.6932 (nats)");
  CHECK(range_text(find_limit("max_features")) == "0 or more (features)");
}
