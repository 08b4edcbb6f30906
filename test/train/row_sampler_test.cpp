#include "metanet/train/row_sampler.hpp"

#include <catch2/catch.hpp>
#include <map>

#include "engine/error.hpp"
#include "test/support/data_files.hpp"
#include "test/support/editor_setup.hpp"

namespace amend {
namespace {

/// Labels and groups of a dataset of one input, which is the number of the row.
Dataset numbered(const std::vector<std::int32_t>& label, const std::vector<std::int32_t>& group) {
  Dataset dataset;
  dataset.name = "numbered";
  dataset.source = "numbered.yaml";
  dataset.features = {{.name = "row"}};
  dataset.inputs = 1;
  dataset.class_names = {"no", "yes"};
  dataset.sensitive = {{"sex", {"Female", "Male"}}};
  dataset.editor_train.count = static_cast<std::int64_t>(label.size());
  dataset.editor_train.label = label;
  dataset.editor_train.sensitive = {group};
  for (std::size_t r = 0; r < label.size(); ++r) dataset.editor_train.input.push_back(static_cast<float>(r));
  return dataset;
}

TEST_CASE("drawn rows are those of the stream, and random rows are any") {
  const Dataset dataset = test::small_dataset(50);
  const RowSampler sampler(dataset, dataset.editor_train, {});
  CHECK(sampler.groups() == 0);
  CHECK(sampler.rows() == 50);
  Arena arena;
  const RowBatch batch = sampler.draw(arena, 200, 7, RandomStream(1, 2), DType::float32);
  CHECK(batch.random_rows == 200);
  CHECK(batch.x.shape == Shape{200, 7});
  CHECK_FALSE(batch.cell);
  CHECK(test::same_bits(batch.x, sampler.draw(arena, 200, 7, RandomStream(1, 2), DType::float32).x));
  CHECK_FALSE(test::same_bits(batch.x, sampler.draw(arena, 200, 7, RandomStream(1, 3), DType::float32).x));
  CHECK(test::values(sampler.draw(arena, 200, 7, RandomStream(1, 2), DType::float64).x) == test::values(batch.x));
  std::map<float, int> seen;
  for (std::int64_t r = 0; r < 200; ++r) {
    const float* row = batch.x.as<float>() + 7 * r;
    bool found = false;
    for (std::int64_t k = 0; k < 50 && !found; ++k)
      found = std::equal(row, row + 7, dataset.editor_train.input.data() + 7 * k);
    CHECK(found);
    ++seen[row[0]];
  }
  CHECK(seen.size() > 40);
}

TEST_CASE("cells are equally filled with rows of their label and group") {
  std::vector<std::int32_t> label, group;
  for (int r = 0; r < 90; ++r) {
    label.push_back(r % 5 == 0);
    group.push_back(r % 3 == 0);
  }
  const Dataset dataset = numbered(label, group);
  const RowSampler sampler(dataset, dataset.editor_train, {"sex"});
  CHECK(sampler.groups() == 2);
  Arena arena;
  const RowBatch batch = sampler.draw(arena, 10, 25, RandomStream(1, 2), DType::float64);
  REQUIRE(batch.x.shape == Shape{10 + 4 * 25, 1});
  const auto cell = test::values(batch.cell), row = test::values(batch.x);
  std::map<int, int> count;
  for (std::size_t i = 0; i < cell.size(); ++i) {
    ++count[static_cast<int>(cell[i])];
    CHECK((cell[i] < 0.0) == (i < 10));
    const auto from = static_cast<std::size_t>(row[i]);
    if (i >= 10) CHECK(static_cast<int>(cell[i]) == 2 * label[from] + group[from]);
  }
  CHECK(count == std::map<int, int>{{-1, 10}, {0, 25}, {1, 25}, {2, 25}, {3, 25}});
}

TEST_CASE("parity_mix turns rates per cell into selection rates, opportunity_mix picks label 1") {
  const Dataset dataset = numbered({0, 0, 0, 1, 0, 1, 1, 1, 1}, {0, 0, 0, 0, 1, 1, 1, 1, 1});
  Arena arena;
  const RowBatch batch =
      RowSampler(dataset, dataset.editor_train, {"sex"}).draw(arena, 2, 1, RandomStream(1, 2), DType::float64);
  CHECK(test::values(batch.parity_mix) == std::vector<double>{0.75, 0, 0.25, 0, 0, 0.2, 0, 0.8});
  CHECK(test::values(batch.opportunity_mix) == std::vector<double>{0, 0, 1, 0, 0, 0, 0, 1});
}

TEST_CASE("groups are intersections of attributes") {
  const Dataset dataset = test::small_dataset();
  const RowSampler sampler(dataset, dataset.editor_train, {"group", "region"});
  CHECK(sampler.groups() == 6);
  Arena arena;
  CHECK(sampler.draw(arena, 4, 3, RandomStream(1, 2), DType::float32).x.extent(0) == 4 + 12 * 3);
}

TEST_CASE("a group without rows of a label is an error that names both") {
  const Dataset dataset = numbered({0, 1, 0, 0}, {0, 0, 1, 1});
  CHECK(test::input_error([&] { RowSampler(dataset, dataset.editor_train, {"sex"}); }) ==
        "numbered.yaml: group `Male` has no row with label `yes`: its rates cannot be estimated");
  const Dataset without = numbered({0, 1, 1, 1}, {0, 0, 1, 1});
  CHECK_THAT(test::input_error([&] { RowSampler(without, without.editor_train, {"sex"}); }),
             Catch::Contains("group `Male` has no row with label `no`"));
  CHECK_NOTHROW(RowSampler(dataset, dataset.editor_train, {}));
  CHECK_THAT(test::input_error([&] { RowSampler(dataset, dataset.editor_train, {"age"}); }), Catch::Contains("age"));
  CHECK_THROWS_WITH(RowSampler(dataset, Rows{}, {}), Catch::Contains("has no rows to draw from"));
  Dataset three = numbered({0, 1, 2}, {0, 0, 1});
  three.classes = 3;
  CHECK_THAT(test::input_error([&] { RowSampler(three, three.editor_train, {"sex"}); }),
             Catch::Contains("fairness needs two classes, `numbered` has 3"));
}

TEST_CASE("weighted rows come as often as they weigh") {
  const Dataset dataset = numbered({0, 1, 0, 1, 0, 1}, {0, 0, 0, 1, 1, 1});
  RowSampler sampler(dataset, dataset.editor_train, {});
  sampler.weigh(std::vector<double>{0.0, 3.0, 0.0, 1.0, 4.0, 0.0});
  Arena arena;
  const RowBatch batch = sampler.draw(arena, 8000, 0, RandomStream(1, 2), DType::float32);
  std::map<float, int> seen;
  for (std::int64_t r = 0; r < 8000; ++r) ++seen[batch.x.as<float>()[r]];
  CHECK(seen.size() == 3);
  CHECK(seen[1.0f] == Approx(3000).margin(150));
  CHECK(seen[3.0f] == Approx(1000).margin(150));
  CHECK(seen[4.0f] == Approx(4000).margin(150));
  CHECK_THROWS_WITH(sampler.weigh(std::vector<double>{1.0}), Catch::Contains("expected 6 weights, got 1"));
  CHECK_THROWS_WITH(sampler.weigh(std::vector<double>(6, 0.0)), Catch::Contains("positive finite sum"));
  CHECK_THROWS_WITH(sampler.weigh(std::vector<double>{1, 1, 1, 1, 1, -1}), Catch::Contains("weights >= 0, got -1"));
}

}  // namespace
}  // namespace amend
