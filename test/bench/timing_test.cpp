#include "bench/measure/timing.hpp"

#include <catch2/catch.hpp>
#include <cmath>

#include "bench/measure/case.hpp"
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

TEST_CASE("a time is that of one call of several", "[bench]") {
  int calls = 0;
  struct Fixed final : Stopwatch {
    void start() override {}
    double stop() override { return 0.75; }
    void flush_cache() override {}
    int launches(const std::function<void()>&) override { return 0; }
  } watch;
  const Times times = measure(watch, [&] { ++calls; }, {.seconds = 1.0, .least_runs = 1, .warmups = 2, .calls = 3});
  CHECK(times.median == 0.25);
  CHECK(times.runs == 2);
  CHECK(calls == 2 + 2 * 3);
}

TEST_CASE("a GPU's shares are of the rate of the precision, and a row without memory says so", "[bench]") {
  Limits gpu{.copy_bytes = 1e12, .gemm_operations = 1e12, .device = "Pretended"};
  Row row{.name = "x", .times = {.median = 0.5}, .cost = {30.0, 1e12, ""}, .precision = kernels::Precision::bf16};
  CHECK(gemm_share(row, gpu) == 0.0);  // not measured
  CHECK_THAT(format_table({}, {gpu}), Catch::Contains("Pretended: copies 1000.0 GB/s, products in float32 1.0, tf32"));
  gpu.bf16_operations = 8e12;
  CHECK(gemm_share(row, gpu) == 0.25);
  row.launches = 17;
  CHECK_THAT(format_table({row}, {gpu}), Catch::Contains("kernels\n") && Catch::Contains(" 17\n"));
  const Row full{.name = "y", .note = "out of memory"};
  CHECK_THAT(format_table({row, full}, {gpu}), Catch::Contains("y         out of memory\n"));
}

TEST_CASE("a result that is not finite is not close to anything", "[bench]") {
  const Tensor got({2}, DType::float32), exact({2}, DType::float64);
  exact.as<double>()[1] = 2.0;
  got.as<float>()[1] = 1.0f;
  CHECK(relative_difference(got, exact) == 0.5);
  got.as<float>()[0] = std::nanf("");
  CHECK_FALSE(std::isfinite(relative_difference(got, exact)));
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
  CHECK_THROWS_AS(workload("e"), InputError);
}

TEST_CASE("a training step has a gradient and the same bits again", "[bench]") {
  Workload small = workload("b");
  small.widths = {7, 4, 3, 2};
  small.edge_width = small.node_width = 8;
  small.probe_rows = 32;
  TrainingCase training(small, 5);
  training.run();
  const double loss = training.loss();
  double size = 0.0;
  for (std::int64_t i = 0; i < training.grad().count(); ++i)
    size += std::abs(static_cast<double>(training.grad().as<float>()[i]));
  CHECK(loss > 0.0);
  CHECK(size > 0.0);
  training.run();
  CHECK(training.loss() == loss);
}
