// Training on a device repeats its steps as graphs: what a step takes from the host is one upload, what it queues is
// one launch, and the results have the bits of steps that are queued kernel by kernel.

#include <catch2/catch.hpp>

#include "engine/stream_owner.hpp"
#include "metanet/graph/predict.hpp"
#include "metanet/train/editor_trainer.hpp"
#include "metanet/train/fine_tuning.hpp"
#include "metanet/train/training_pool.hpp"
#include "requirements/registry.hpp"
#include "test/support/data_files.hpp"
#include "test/support/device/counters.hpp"
#include "test/support/editor_setup.hpp"
#include "test/support/op_run.hpp"
#include "test/support/tolerance.hpp"

namespace amend::test {
namespace {

/// What happens on the device during `work`.
template <class Work>
device::Counters count(const Work& work) {
  const device::Counters before = device::counters();
  work();
  return device::counters() - before;
}

/// Checks that `more` repeats `steps` steps more than `fewer`, and that is all.
void check_repeated(const device::Counters& more, const device::Counters& fewer, int steps) {
  if (!device::has_counters()) return;
  const device::Counters extra = more - fewer;
  CHECK(extra.graphs == steps);
  CHECK(extra.copies_to_device == steps);
  CHECK(extra.queued == 0);
  CHECK(extra.kernels > 0);
  CHECK(extra.kernels % steps == 0);
  CHECK(extra.allocations == 0);
  CHECK(extra.copies_to_host == 0);
  CHECK(extra.synchronisations == 0);
}

TEST_CASE("the steps of an editor's training are graphs, optimiser included") {
  const Dataset dataset = small_dataset(60);
  Population population = small_population(dataset, 3);
  for (std::size_t n = 0; n < 3; ++n) population.networks[n] = random_network({7, 4, 2}, Activation::relu, n);
  const EditorConfig config =
      small_config({.requirements = {"data_minimisation", "pruning"},
                    .messages = 1,
                    .passes = 2,
                    .edge_width = 16,
                    .more = "  batch: 2\n  rows: 16\n  cell_rows: 4\n  probe_rows: 12\n  probe_cell_rows: 3\n"
                            "  validation_rows: 16\n  warmup: 5\n  steps: 100\n  validations: 1\n"});
  const TemporaryFolder folder;
  const auto train = [&](std::int64_t steps) {
    return train_editor(config, population, dataset, make_requirements,
                        {.checkpoint = folder / "checkpoint", .stop_after = steps, .device = Device::cuda()})
        .editor->parameters()
        .on_host();
  };
  Tensor expected, got;
  {
    const device::WithoutGraphs plainly;
    const device::Counters happened = count([&] { expected = train(8); });
    CHECK(happened.graphs == 0);
  }
  const device::Counters few = count([&] { train(4); });
  const device::Counters many = count([&] { got = train(8); });
  CHECK(same_bits(got, expected));
  if (device::has_counters()) CHECK(few.graphs == 2);  // after two steps that find their memory
  check_repeated(many, few, 4);
}

const char* const kPopulation = R"(
dataset: small.yaml
seed: 3
networks: 3
split: {train: 0.5, validation: 0.25, test: 0.25}
widths: [5, 4-3]
activations: [relu, tanh]
learning_rate: [0.005, 0.02]
weight_decay: [0.0001, 0.01]
epochs: [0.5, 1.5]
min_steps: 4
batch_size: 6
diversity: {feature_subset: {keep: 0.6}}
)";

/// The networks of all runs, trained two at a time.
std::vector<SubjectNetwork> train_in_pool(const Dataset& dataset, bool graphs) {
  const PopulationConfig config = parse_population_config(kPopulation, "population.yaml");
  const std::vector<TrainingPlan> plans = plan_population(config, dataset);
  const StreamOwner stream(Device::cuda());
  const TrainingRows rows(dataset.subject_train, dataset.inputs, stream);
  TrainingPool pool(config, dataset, rows, stream);
  std::vector<SubjectNetwork> networks(plans.size());
  std::size_t admitted = 0;
  do {
    for (; pool.size() < 2 && admitted < plans.size(); ++admitted) pool.admit({&plans[admitted]});
    bool done = false;
    for (int step = 0; !done; ++step) {
      const device::Counters happened = count([&] { done = pool.step(); });
      if (!device::has_counters() || !graphs) continue;
      CAPTURE(step);
      CHECK(happened.graphs == (step == 0 ? 0 : 1));  // the first after the batch was built finds its memory
      CHECK(happened.copies_to_host == (done ? 1 : 0));
      if (step == 0) continue;
      CHECK(happened.copies_to_device == 1);
      CHECK(happened.queued == 0);
      CHECK(happened.allocations == 0);
    }
    for (const TrainingPool::Result& run : pool.take_finished())
      networks[static_cast<std::size_t>(run.plan->run)] = run.networks.back();
  } while (pool.size() > 0);
  return networks;
}

TEST_CASE("the steps of a population's training are graphs, of every batch its own") {
  const Dataset dataset = small_dataset(40);
  const std::vector<SubjectNetwork> got = train_in_pool(dataset, true);
  const device::WithoutGraphs plainly;
  const std::vector<SubjectNetwork> expected = train_in_pool(dataset, false);
  for (std::size_t n = 0; n < got.size(); ++n) {
    CHECK(got[n].weights == expected[n].weights);
    CHECK(got[n].biases == expected[n].biases);
  }
}

TEST_CASE("the steps of fine-tuning are graphs") {
  const Dataset dataset = small_dataset(40);
  const std::vector<SubjectNetwork> original = mixed_networks(3);
  FineTuning tuning{.target = GENERATE(FineTuningTarget::original, FineTuningTarget::labels),
                    .rows = 6,
                    .learning_rate = 1e-3,
                    .weight_decay = 0.1,
                    .requirements = make_requirements({"equalised_odds"}, "test"),
                    .sensitive = {"group"},
                    .cell_rows = 2};
  const std::vector<double> lambda = {0.1, 0.5, 1.0};
  const auto tune = [&](std::int64_t steps) {
    tuning.steps = steps;
    return fine_tune(pointers_to(original), pointers_to(original), dataset, dataset.editor_train, tuning, lambda,
                     Device::cuda());
  };
  std::vector<SubjectNetwork> got, expected;
  const device::Counters few = count([&] { tune(4); });
  const device::Counters many = count([&] { got = tune(7); });
  if (device::has_counters()) CHECK(few.graphs == 2);
  check_repeated(many, few, 3);
  const device::WithoutGraphs plainly;
  expected = tune(7);
  for (std::size_t n = 0; n < got.size(); ++n) {
    CHECK(got[n].weights == expected[n].weights);
    CHECK(got[n].biases == expected[n].biases);
  }
}

}  // namespace
}  // namespace amend::test
