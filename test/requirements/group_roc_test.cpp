#include "requirements/baseline/group_roc.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "engine/error.hpp"
#include "test/requirements/grouped_rows.hpp"

using namespace amend;
using namespace amend::test;

TEST_CASE("cuts select the rows that they count, at either threshold") {
  const GroupedRows rows = grouped_rows(2, 90, 3, 1, 4.0);
  for (std::size_t n = 0; n < 2; ++n) {
    const auto rocs = group_rocs(rows.view(), n);
    REQUIRE(rocs.size() == 3);
    for (int g = 0; g < 3; ++g) {
      const GroupRoc& roc = rocs[static_cast<std::size_t>(g)];
      std::vector<double> margins;
      for (std::size_t row = 0; row < 90; ++row)
        if (rows.group[row] == g) margins.push_back(rows.margin(n, row));
      std::sort(margins.begin(), margins.end());
      margins.erase(std::unique(margins.begin(), margins.end()), margins.end());
      REQUIRE(margins.size() < 30);  // there are ties
      REQUIRE(roc.cut.size() == margins.size() + 1);
      int unchanged = 0;
      for (const RocCut& cut : roc.cut) {
        CHECK(std::isfinite(cut.mild_threshold()));
        for (const double threshold : {cut.threshold(), cut.mild_threshold()}) {
          const CountedRates counted = counted_rates(rows, n, g, threshold);
          CHECK(roc.true_positive_rate(cut) == counted.true_positive);
          CHECK(roc.false_positive_rate(cut) == counted.false_positive);
          CHECK(roc.error(cut, 90) == Approx(counted.wrong / 90.0));
        }
        unchanged += cut.mild_threshold() == 0.0;
      }
      CHECK(unchanged == 1);
      CHECK(roc.own_error(90) == Approx(counted_rates(rows, n, g, 0.0).wrong / 90.0));
      CHECK(roc.cut.front().true_positives == 0);
      CHECK(roc.cut.front().threshold() == std::numeric_limits<double>::infinity());
      CHECK(roc.cut.back().true_positives == roc.positives);
      CHECK(roc.cut.back().threshold() == -std::numeric_limits<double>::infinity());
    }
  }
}

TEST_CASE("the threshold between neighbouring numbers selects the larger") {
  // Halfway rounds to the even one of the two: once down, once up.
  const double one = 1.0, next = std::nextafter(one, 2.0), after = std::nextafter(next, 2.0);
  for (const auto& [below, above] : {std::pair{one, next}, std::pair{next, after}}) {
    const RocCut cut{.below = below, .above = above, .true_positives = 0, .false_positives = 0};
    CHECK(above > cut.threshold());
    CHECK_FALSE(below > cut.threshold());
  }
}

TEST_CASE("the hull's corners span all points, and none can be spared") {
  for (std::uint64_t seed : {1, 2, 3}) {
    const GroupedRows rows = grouped_rows(1, 120, 2, seed);
    for (const GroupRoc& roc : group_rocs(rows.view(), 0)) {
      const std::vector<RocCut> corners = hull_cuts(roc);
      CHECK(corners.front().true_positives + corners.front().false_positives == 0);
      const auto extent = [](const std::vector<RocCut>& points, double angle, std::size_t without) {
        double most = -1e30;
        for (std::size_t i = 0; i < points.size(); ++i)
          if (i != without)
            most = std::max(most, std::cos(angle) * static_cast<double>(points[i].false_positives) +
                                      std::sin(angle) * static_cast<double>(points[i].true_positives));
        return most;
      };
      std::vector<bool> needed(corners.size(), false);
      for (int step = 0; step < 7200; ++step) {
        const double angle = 6.283185307 * step / 7200;
        const double most = extent(corners, angle, corners.size());
        REQUIRE(most == Approx(extent(roc.cut, angle, roc.cut.size())).margin(1e-9));
        for (std::size_t c = 0; c < corners.size(); ++c)
          if (extent(corners, angle, c) < most - 1e-9) needed[c] = true;
      }
      CHECK(std::count(needed.begin(), needed.end(), true) == static_cast<std::ptrdiff_t>(corners.size()));
    }
  }
}

TEST_CASE("quantile cuts are spread evenly and hold the ends and the network's own decision") {
  const GroupedRows rows = grouped_rows(1, 400, 2, 5);
  for (const GroupRoc& roc : group_rocs(rows.view(), 0)) {
    const auto all = quantile_cuts(roc, 1000);
    CHECK(all.size() == roc.cut.size());
    const auto some = quantile_cuts(roc, 11);
    CHECK(some.size() >= 11);
    CHECK(some.size() <= 12);
    CHECK(some.front().above == roc.cut.front().above);
    CHECK(some.back().below == roc.cut.back().below);
    CHECK(std::count_if(some.begin(), some.end(), [](const RocCut& c) { return c.contains_zero(); }) == 1);
    for (std::size_t i = 0; i + 1 < some.size(); ++i) {
      const std::int64_t step =
          some[i + 1].true_positives + some[i + 1].false_positives - some[i].true_positives - some[i].false_positives;
      CHECK(step >= 1);
      CHECK(step <= 21);  // 200 rows in tenths
    }
  }
  CHECK_THROWS_AS(quantile_cuts(group_rocs(rows.view(), 0)[0], 1), Error);
}

TEST_CASE("groups without enough rows of a label are named, and two must be left") {
  GroupedRows rows = grouped_rows(1, 90, 3, 1);
  CHECK(groups_without_evidence(rows.view(), 5, "test").empty());
  for (std::size_t row = 0; row < 90; ++row)
    if (rows.group[row] == 1 && row > 10) rows.label[row] = 0;
  CHECK(groups_without_evidence(rows.view(), 5, "test") == std::vector<int>{1});
  for (std::size_t row = 0; row < 90; ++row)
    if (rows.group[row] == 1) rows.label[row] = 0;
  CHECK(groups_without_evidence(rows.view(), 0, "test") == std::vector<int>{1});
  rows.groups = 4;  // nobody is in group 3
  CHECK(groups_without_evidence(rows.view(), 1, "test") == std::vector<int>{1, 3});
  for (std::size_t row = 0; row < 90; ++row)
    if (rows.group[row] == 2) rows.label[row] = 1;
  CHECK_THROWS_AS(groups_without_evidence(rows.view(), 1, "test"), Error);
}

TEST_CASE("grouped logits say what does not fit") {
  const GroupedRows good = grouped_rows(2, 40, 2, 1);
  CHECK_NOTHROW(good.view().validate("test"));
  const auto broken = [&](auto&& change) {
    GroupedRows rows = good;
    change(rows);
    CHECK_THROWS_AS(rows.view().validate("test"), Error);
  };
  broken([](GroupedRows& rows) { rows.logits.pop_back(); });
  broken([](GroupedRows& rows) { rows.group.pop_back(); });
  broken([](GroupedRows& rows) { rows.label[3] = 2; });
  broken([](GroupedRows& rows) { rows.label[3] = -1; });
  broken([](GroupedRows& rows) { rows.group[3] = 2; });
  broken([](GroupedRows& rows) { rows.group[3] = -1; });
  broken([](GroupedRows& rows) { rows.logits[5] = std::numeric_limits<float>::quiet_NaN(); });
  broken([](GroupedRows& rows) { rows.label.clear(), rows.group.clear(), rows.logits.clear(); });
}
