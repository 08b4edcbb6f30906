#include "requirements/comparison/row_shift.hpp"

#include <catch2/catch.hpp>

#include "engine/error.hpp"
#include "test/support/editor_setup.hpp"

namespace amend {
namespace {

Dataset dataset_with_levels() {
  Dataset dataset = test::small_dataset(60);
  dataset.features[2].levels = {"low", "middle", "high"};
  return dataset;
}

}  // namespace

TEST_CASE("shifted rows are those of the levels, in order and with all that belongs to them") {
  const Dataset dataset = dataset_with_levels();
  const Rows& all = dataset.audit;
  const Rows some = shifted_rows(dataset, all, {"part", "level", {"low", "high"}}, "test");
  std::size_t at = 0;
  for (std::size_t r = 0; r < 60; ++r) {
    if (all.input[7 * r + 3] == 1.0f) continue;  // middle
    REQUIRE(static_cast<std::int64_t>(at) < some.count);
    CHECK(std::equal(all.input.begin() + static_cast<std::ptrdiff_t>(7 * r),
                     all.input.begin() + static_cast<std::ptrdiff_t>(7 * r + 7),
                     some.input.begin() + static_cast<std::ptrdiff_t>(7 * at)));
    CHECK(some.label[at] == all.label[r]);
    for (std::size_t a = 0; a < 2; ++a) CHECK(some.sensitive[a][at] == all.sensitive[a][r]);
    ++at;
  }
  CHECK(static_cast<std::int64_t>(at) == some.count);
  CHECK(some.count > 0);
  CHECK(some.count < 60);
}

TEST_CASE("a shift names a categorical feature and its levels") {
  const Dataset dataset = dataset_with_levels();
  const auto shift = [&](const RowShift& which) {
    return shifted_rows(dataset, dataset.audit, which, "c.yaml: shifts");
  };
  CHECK_THROWS_WITH(shift({"part", "levle", {"low"}}),
                    Catch::Contains("c.yaml: shifts") && Catch::Contains("`level`?"));
  CHECK_THROWS_WITH(shift({"part", "a", {"low"}}), Catch::Contains("no categorical feature `a`"));
  CHECK_THROWS_WITH(shift({"part", "level", {"hihg"}}), Catch::Contains("did you mean `high`?"));
  CHECK_THROWS_WITH(shift({"nobody", "level", {}}), Catch::Contains("no row of `small` is one of `nobody`"));
}

}  // namespace amend
