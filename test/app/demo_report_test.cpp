#include "app/demo_report.hpp"

#include <catch2/catch.hpp>

using namespace amend;
using Catch::Matchers::Contains;

namespace {

/// A report in which every edit has the same measurements.
DemoReport report_of(const DemoMeasure& edited, const DemoMeasure& baseline) {
  DemoReport report{.networks = 6,
                    .trained_on = 36,
                    .rows = 4000,
                    .groups = {"a", "b"},
                    .original = {.nonzero_share = 1.0, .accuracy = 0.80, .gap = 0.20}};
  for (DemoRow row : demo_conditions()) {
    row.edited = edited;
    row.baseline = baseline;
    report.rows_edited.push_back(row);
  }
  return report;
}

constexpr DemoMeasure kBaseline{.nonzero_share = 0.1, .accuracy = 0.75, .divergence = 0.02, .gap = 0.21};

}  // namespace

TEST_CASE("the demo's sentence follows the measurements", "[cli]") {
  const auto better =
      verdict(report_of({.nonzero_share = 0.1, .accuracy = 0.79, .divergence = 0.01, .gap = 0.05}, kBaseline));
  CHECK(better.improved);
  CHECK_THAT(better.sentence, Contains("10% of their weights instead of 100%") && Contains("from 0.200 to 0.050") &&
                                  Contains("for 1.0 points of accuracy") && Contains("lose 5.0 points"));

  const auto unfair =
      verdict(report_of({.nonzero_share = 0.1, .accuracy = 0.79, .divergence = 0.01, .gap = 0.25}, kBaseline));
  CHECK(unfair.improved);
  CHECK_THAT(unfair.sentence,
             Contains("did not make these networks fairer") && Contains("0.0100 nats away instead of 0.0200"));

  // Fairer, but at a price in accuracy that the baseline does not ask, and further from the originals.
  const auto worse =
      verdict(report_of({.nonzero_share = 0.1, .accuracy = 0.60, .divergence = 0.3, .gap = 0.0}, kBaseline));
  CHECK_FALSE(worse.improved);
  CHECK_THAT(worse.sentence, Contains("did not help"));

  // Nothing was removed: no merit in being close.
  const auto idle = verdict(report_of({.nonzero_share = 1.0, .accuracy = 0.80, .divergence = 0.0, .gap = 0.20},
                                      {.nonzero_share = 1.0, .accuracy = 0.80, .divergence = 0.001, .gap = 0.20}));
  CHECK_FALSE(idle.improved);
}

TEST_CASE("the demo's table shows every edit beside its baseline", "[cli]") {
  const DemoReport report =
      report_of({.nonzero_share = 0.1234, .accuracy = 0.79, .divergence = 0.01, .gap = 0.05}, kBaseline);
  const std::string text = format_report(report);
  CHECK_THAT(text, Contains("12.3") && Contains("OBD + fold, same size") && Contains(verdict(report).sentence));
  CHECK(to_json(report)["edits"].size() == demo_conditions().size());
  CHECK(to_json(report)["improved"] == true);
}
