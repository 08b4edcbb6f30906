#include "metanet/train/batch_optimiser.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>

#include "kernels/adamw.hpp"
#include "metanet/graph/predict.hpp"
#include "test/support/editor_setup.hpp"
#include "test/support/tolerance.hpp"

namespace amend {
namespace {

TEST_CASE("weights and biases of a batch move in one step as each of them does alone") {
  const auto networks = test::mixed_networks(3);
  const auto pointers = pointers_to(networks);
  const GraphBatch graph(pointers);
  const Tensor schedule = test::make_tensor({3}, DType::float64, {0.1, 0.9, 0.0}),
               rate = test::make_tensor({3}, DType::float64, {0.1, 0.02, 0.3}),
               decay = test::make_tensor({3}, DType::float64, {0.5, 0.1, 0.0}), no_decay({3}, DType::float64);
  Arena arena;
  const BatchOptimiser optimiser(graph, arena, Stream(), pointers, {}, pointers);  // moments of a training that went on
  const BatchOptimiser::Rates rates = optimiser.stage_rates(arena);
  for (std::int64_t n = 0; n < 3; ++n) rates.set(n, rate.as<double>()[n], decay.as<double>()[n]);
  for (const TensorView* moment : {&optimiser.first_moment().all, &optimiser.second_moment().all})
    for (std::int64_t i = 0; i < moment->count(); ++i) moment->as<float>()[i] = std::abs(moment->as<float>()[i]);
  const Tensor grad = test::random_tensor(optimiser.grad().all.shape, DType::float32, 1);
  std::copy_n(grad.as<float>(), grad.count(), optimiser.grad().all.as<float>());

  struct Part {
    TensorView BatchValues::*of;
    kernels::Segments segments;
    TensorView decay;
    Tensor value, first, second;
  };
  Part parts[] = {{&BatchValues::weight, graph.table().network_edges, decay, {}, {}, {}},
                  {&BatchValues::bias, graph.table().network_nodes, no_decay, {}, {}, {}}};
  for (Part& part : parts) {
    part.value = test::convert(optimiser.value().*part.of, DType::float32);
    part.first = test::convert(optimiser.first_moment().*part.of, DType::float32);
    part.second = test::convert(optimiser.second_moment().*part.of, DType::float32);
    kernels::adamw({.value = part.value,
                    .grad = optimiser.grad().*part.of,
                    .first_moment = part.first,
                    .second_moment = part.second,
                    .segments = part.segments,
                    .learning_rate = rate,
                    .weight_decay = part.decay,
                    .schedule = schedule},
                   Stream());
  }
  optimiser.step(rates, schedule, Stream());
  for (const Part& part : parts) {
    CHECK(test::same_bits(optimiser.value().*part.of, part.value));
    CHECK(test::same_bits(optimiser.first_moment().*part.of, part.first));
    CHECK(test::same_bits(optimiser.second_moment().*part.of, part.second));
  }
  const SubjectNetwork& last = networks.back();
  SubjectNetwork moved = last;
  graph.scatter(2, optimiser.value().weight, optimiser.value().bias, moved);
  CHECK(moved.weights != last.weights);
  CHECK(moved.biases != last.biases);
}

}  // namespace
}  // namespace amend
