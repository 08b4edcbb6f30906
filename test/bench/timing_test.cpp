#include "bench/measure/timing.hpp"

#include <catch2/catch.hpp>
#include <cmath>

#include "bench/measure/short_run.hpp"
#include "engine/error.hpp"

using namespace amend;
using namespace amend::bench;

TEST_CASE("quantiles are those of the samples", "[bench]") {
  std::vector<double> samples;
  for (int i = 100; i >= 0; --i) samples.push_back(i);
  const Times times = summarise(samples);
  CHECK(times.median == 50);
  CHECK(times.p5 == 5);
  CHECK(times.p95 == 95);
  CHECK(times.runs == 101);
  CHECK(summarise({3.0}).p95 == 3.0);
  CHECK_THROWS_AS(summarise({}), Error);
}

TEST_CASE("work is run once more than it is timed", "[bench]") {
  const auto watch = make_stopwatch(Stream());
  int runs = 0;
  const Times times = measure(*watch, [&] { ++runs; }, {.seconds = 0.0, .least_runs = 4, .cold = true});
  CHECK(times.runs == 4);
  CHECK(runs == 5);
}

TEST_CASE("shares are of the limits with as many threads", "[bench]") {
  const std::vector<Limits> limits{{1, 100.0, 1000.0}, {2, 150.0, 2000.0}};
  Row row{.name = "x", .threads = 2, .times = {.median = 0.5}, .cost = {30.0, 400.0, ""}};
  CHECK(copy_share(row, limits_of(row, limits)) == Approx(30.0 / 0.5 / 150.0));
  CHECK(gemm_share(row, limits_of(row, limits)) == Approx(400.0 / 0.5 / 2000.0));
  row.threads = 3;
  CHECK_THROWS_AS(limits_of(row, limits), Error);
}

TEST_CASE("what is timed computes what float64 computes", "[bench]") {
  Workload small = workload("b");
  small.widths = {7, 4, 3, 2};
  small.edge_width = small.node_width = 8;
  small.probe_rows = 32;
  const double edit = edit_error(small, 3), messages = message_error(small, 3);
  CHECK(edit < 1e-4);
  CHECK(messages < 1e-4);
  CHECK(messages > 0.0);
  CHECK_THROWS_AS(workload("c"), InputError);
}

TEST_CASE("a training step has a gradient and the same bits again", "[bench]") {
  Workload small = workload("b");
  small.widths = {7, 4, 3, 2};
  small.edge_width = small.node_width = 8;
  small.probe_rows = 32;
  TrainingCase training(small, 5);
  const double loss = training.run();
  double size = 0.0;
  for (std::int64_t i = 0; i < training.grad().count(); ++i)
    size += std::abs(static_cast<double>(training.grad().as<float>()[i]));
  CHECK(loss > 0.0);
  CHECK(size > 0.0);
  CHECK(training.run() == loss);
}
