// Population, editor, edit and audit on a device against the CPU. They are the same up to the rounding of
// kernels, which hard gates and AdamW's first steps amplify where a number is close to zero: losses and gradients are
// compared, not every weight.

#include <catch2/catch.hpp>
#include <cmath>

#include "engine/copy.hpp"
#include "engine/stream_owner.hpp"
#include "metanet/graph/predict.hpp"
#include "metanet/train/batch_editor.hpp"
#include "metanet/train/editor_trainer.hpp"
#include "metanet/train/fine_tuning.hpp"
#include "metanet/train/population_trainer.hpp"
#include "metanet/train/training_step.hpp"
#include "requirements/audit.hpp"
#include "requirements/registry.hpp"
#include "test/support/data_files.hpp"
#include "test/support/device/counters.hpp"
#include "test/support/editor_setup.hpp"
#include "test/support/op_run.hpp"
#include "test/support/tolerance.hpp"

namespace amend::test {
namespace {

const Device kDevices[] = {Device::cpu(), Device::cuda()};

std::vector<double> as_doubles(const std::vector<float>& values) { return {values.begin(), values.end()}; }

/// Share of the weights of `got` that lie further than `bound` from `expected`.
double share_apart(const SubjectNetwork& got, const SubjectNetwork& expected, double bound) {
  double apart = 0;
  for (std::size_t i = 0; i < got.weights.size(); ++i)
    apart += std::abs(static_cast<double>(got.weights[i]) - static_cast<double>(expected.weights[i])) > bound;
  return apart / static_cast<double>(got.weights.size());
}

/// An editor without training, none of its heads at zero.
TrainedEditor random_editor(const EditorConfig& config, const Dataset& dataset, Device device) {
  TrainedEditor trained = make_editor(config, dataset, make_requirements, DType::float32, device);
  trained.editor->randomise(5, 0.1);
  return trained;
}

const char* const kPopulation = R"(
dataset: small.yaml
seed: 3
networks: 4
split: {train: 0.5, validation: 0.25, test: 0.25}
widths: [5, 4-3]
activations: [relu, tanh]
learning_rate: [0.005, 0.02]
weight_decay: [0.0001, 0.01]
epochs: [0.2, 1]
min_steps: 3
batch_size: 6
snapshots: [0.5]
diversity: {feature_subset: {keep: 0.6}}
)";

TEST_CASE("a population trained on a device is that of the CPU") {
  const Dataset dataset = small_dataset(40);
  const PopulationConfig config = parse_population_config(kPopulation, "population.yaml");
  const Population expected = train_population(config, dataset),
                   got = train_population(config, dataset, {.device = Device::cuda(), .pool = 3});
  REQUIRE(got.networks.size() == expected.networks.size());
  bool any_unused = false;
  for (std::size_t n = 0; n < got.networks.size(); ++n) {
    INFO(got.networks[n].name);
    CHECK(got.networks[n].name == expected.networks[n].name);
    CHECK(share_apart(got.networks[n], expected.networks[n], 1e-4) == 0.0);
    CHECK(largest_difference(as_doubles(got.networks[n].biases), as_doubles(expected.networks[n].biases)) < 1e-4);
    const std::vector<float>& weights = expected.networks[n].weights;
    any_unused |= std::count(weights.begin(), weights.end(), 0.0f) > 0;
    for (std::size_t i = 0; i < weights.size(); ++i)
      if (weights[i] == 0.0f) CHECK(got.networks[n].weights[i] == 0.0f);
    CHECK(got.attributes[n]["training"]["validation_accuracy"].get<double>() ==
          Approx(expected.attributes[n]["training"]["validation_accuracy"].get<double>()).margin(0.026));
  }
  CHECK(any_unused);
}

/// A training step of the first four networks, one shard of the CPU.
struct Stepper {
  Stepper(const EditorConfig& config, const Dataset& dataset, const Population& population, Device device)
      : stream(device),
        trained(make_editor(config, dataset, make_requirements, DType::float32, device)),
        fixed(device),
        data(make_editor_data(dataset, trained.groups_on(dataset), fixed, DType::float32, stream)),
        sampler(dataset, dataset.editor_train, trained.groups_on(dataset), stream),
        cache(*trained.editor, data, pointers_to(population.networks),
              sampler.draw(fixed, 24, 6, RandomStream(1, 1), DType::float32, stream), stream),
        step(trained, stream) {
    trained.editor->randomise(5, 0.1);
    lambda = spread_lambda(trained, picks.size());
  }

  const LossTerms& run(std::uint32_t number) {
    return step.run({.data = &data,
                     .cache = &cache,
                     .picks = picks,
                     .lambda = lambda,
                     .weight = weight,
                     .probe_sampler = &sampler,
                     .loss_sampler = &sampler,
                     .probe_stream = RandomStream(2, 2, number),
                     .loss_stream = RandomStream(2, 3, number),
                     .probe_rows = 12,
                     .probe_cell_rows = 3,
                     .rows = 20,
                     .cell_rows = 5,
                     .training = true,
                     .step = number,
                     .shard = 0});
  }

  StreamOwner stream;
  TrainedEditor trained;
  Arena fixed;
  EditorData data;
  RowSampler sampler;
  ProbeCache cache;
  TrainingStep step;
  std::vector<int> picks{2, 0, 1};
  std::vector<double> lambda, weight{0.3, 0.5, 0.2};
};

TEST_CASE("a training step on a device gives the CPU's loss and gradient, and brings nothing back meanwhile") {
  const auto requirements = GENERATE(kRequirementSets[2], kRequirementSets[3]);  // no gates, all kinds of gates
  const bool turned = GENERATE(false, true);                                     // the switches of experiments
  CAPTURE(requirements, turned);
  const Dataset dataset = small_dataset(60);
  Population population = small_population(dataset, 3);
  const EditorConfig config = small_config(
      {.requirements = requirements,
       .messages = 1,
       .passes = 2,
       .edge_width = 16,
       .editor = turned ? ", probe_features: false, edits: mask" : "",
       .more = std::string("  batch: 4\n  steps: 100\n") + (turned ? "  scalarisation: chebyshev\n" : "")});
  constexpr std::uint32_t kSteps = 4;  // on the device: two plainly, then captured
  std::vector<double> loss[2];
  std::vector<std::vector<double>> gradient[2];
  for (std::size_t d = 0; d < 2; ++d) {
    Stepper stepper(config, dataset, population, kDevices[d]);
    for (std::uint32_t number = 0; number < kSteps; ++number) {
      std::rotate(stepper.picks.begin(), stepper.picks.begin() + 1, stepper.picks.end());
      stepper.lambda[0] *= 1.3;
      synchronise(stepper.stream);
      const device::Counters before = device::counters();
      const LossTerms& terms = stepper.run(number);
      const device::Counters happened = device::counters() - before;
      if (kDevices[d].is_cuda() && device::has_counters()) {
        CHECK(happened.copies_to_device == 1);
        CHECK(happened.copies_to_host == 0);
        CHECK(happened.synchronisations == 0);
        CHECK(happened.waits == 0);
        CHECK(happened.graphs == (number < 2 ? 0 : 1));
        if (number > 0) CHECK(happened.allocations == 0);
      }
      loss[d].push_back(values(host_copy(terms.total.value(), stepper.stream))[0]);
      gradient[d].push_back(values(host_copy(stepper.step.grad(), stepper.stream)));
    }
  }
  for (std::size_t number = 0; number < kSteps; ++number) {
    CAPTURE(number);
    CHECK(loss[1][number] == Approx(loss[0][number]).epsilon(1e-4));
    CHECK(largest_difference(gradient[1][number], gradient[0][number]) <=
          tolerance("editor", DType::float32, largest(gradient[0][number])));
  }
  CHECK(std::abs(loss[0][2] - loss[0][3]) > 1e-3 * loss[0][3]);  // steps differ by more than devices
}

EditorConfig training_config() {
  return small_config({.requirements = kRequirementSets[0],
                       .messages = 1,
                       .passes = 2,
                       .edge_width = 16,
                       .more = "  batch: 3\n  rows: 16\n  cell_rows: 4\n  probe_rows: 12\n  probe_cell_rows: 3\n"
                               "  validation_rows: 16\n  warmup: 5\n  steps: 2\n  validations: 1\n"});
}

TEST_CASE("an editor trained on a device is that of the CPU, and resumes in the same bits") {
  const Dataset dataset = small_dataset(60);
  const Population population = small_population(dataset, 3);
  const EditorConfig config = training_config();
  const TemporaryFolder folder;
  const auto train = [&](const EditorTrainOptions& options) {
    return train_editor(config, population, dataset, make_requirements, options);
  };
  const TrainedEditor expected = train({}), got = train({.device = Device::cuda()});
  CHECK(got.provenance["validation_score"].get<double>() ==
        Approx(expected.provenance["validation_score"].get<double>()).epsilon(1e-3));
  CHECK(got.editor->device() == Device::cuda());
  const Tensor parameters = got.editor->parameters().on_host();
  const std::vector<double> a = values(parameters), b = values(expected.editor->parameters().value());
  double apart = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) apart += std::abs(a[i] - b[i]) / static_cast<double>(a.size());
  CHECK(apart < 1e-5);  // a parameter moves by about 1e-3 a step

  train({.checkpoint = folder / "checkpoint", .stop_after = 1, .device = Device::cuda()});
  const TrainedEditor resumed = train({.checkpoint = folder / "checkpoint", .resume = true, .device = Device::cuda()});
  CHECK(same_bits(resumed.editor->parameters().on_host(), parameters));
  save_editor(got, folder / "editor.safetensors");
  const TrainedEditor loaded = load_editor(folder / "editor.safetensors", make_requirements, Device::cuda());
  CHECK(same_bits(loaded.editor->parameters().on_host(), parameters));
}

TEST_CASE("an editor trained on two populations on a device is that of the CPU") {
  // Networks of one shape on tables of one size: what is captured for one must not be repeated for the other.
  const Dataset first = small_dataset(60);
  Dataset second = first;
  second.fingerprint = "another";
  for (std::size_t i = 0; i < second.editor_train.input.size(); i += 2) second.editor_train.input[i] *= -2.0f;
  Population on_first = small_population(first, 3), on_second = small_population(second, 3);
  for (std::size_t n = 0; n < 3; ++n) {
    on_first.networks[n] = random_network({7, 4, 2}, Activation::relu, n);
    on_second.networks[n] = random_network({7, 4, 2}, Activation::relu, 10 + n);
  }
  const EditorSource sources[] = {{&on_first, &first}, {&on_second, &second}};
  const EditorConfig config = small_config(
      {.requirements = {"data_minimisation", "equalised_odds"},
       .messages = 0,
       .passes = 2,
       .input_embedding = false,
       .more = "  batch: 2\n  rows: 16\n  cell_rows: 4\n  probe_rows: 12\n  probe_cell_rows: 3\n"
               "  validation_rows: 16\n  warmup: 1\n  learning_rate: 0.0001\n  steps: 8\n  validations: 1\n"});
  std::vector<double> parameters[2];
  for (std::size_t d = 0; d < 2; ++d) {
    const TrainedEditor trained = train_editor(config, sources, make_requirements, {.device = kDevices[d]});
    parameters[d] = values(trained.editor->parameters().on_host());
  }
  double apart = 0.0;
  for (std::size_t i = 0; i < parameters[0].size(); ++i)
    apart += std::abs(parameters[0][i] - parameters[1][i]) / static_cast<double>(parameters[0].size());
  CHECK(apart < 1e-6);  // a parameter moves by about 1e-4 a step
}

TEST_CASE("a loss that is not finite on a device is reported with its step") {
  const Dataset dataset = small_dataset(60);
  Population population = small_population(dataset, 3);
  const EditorConfig config = small_config(
      {.requirements = {"pruning"},
       .messages = 0,
       .passes = 1,
       .more = "  batch: 2\n  rows: 16\n  learning_rate: 1.0e+30\n  warmup: 0\n  steps: 4\n  validations: 1\n"});
  for (const Device device : kDevices)
    CHECK_THROWS_WITH(train_editor(config, population, dataset, make_requirements, {.device = device}),
                      Catch::Contains("step 1: ") && Catch::Contains("not finite"));
}

TEST_CASE("an edit on a device is that of the CPU, in one upload, and the audit agrees") {
  const auto requirements = GENERATE(kRequirementSets[1], kRequirementSets[3]);
  CAPTURE(requirements);
  const Dataset dataset = small_dataset(60);
  const EditorConfig config =
      small_config({.requirements = requirements, .messages = 1, .passes = 2, .edge_width = 16});
  const Population population = small_population(dataset, 3);
  auto networks = pointers_to(population.networks);
  std::vector<EditResult> results[2];
  for (std::size_t d = 0; d < 2; ++d) {
    TrainedEditor trained = random_editor(config, dataset, kDevices[d]);
    BatchEditor editor(trained, dataset);
    std::vector<double> lambda = spread_lambda(trained, networks.size());
    editor.edit(networks, lambda);  // takes its memory
    editor.edit(networks, lambda);
    // From the third on a graph: other networks in the same places, another condition.
    std::swap(networks[0], networks[1]);
    editor.edit(networks, lambda);
    std::swap(networks[0], networks[1]);
    lambda[0] *= 2;
    const device::Counters before = device::counters();
    results[d] = editor.edit(networks, lambda);
    const device::Counters happened = device::counters() - before;
    if (!kDevices[d].is_cuda() || !device::has_counters()) continue;
    CHECK(happened.graphs == 1);
    CHECK(happened.copies_to_device == 1);
    CHECK(happened.copies_to_host == 2);  // the edited weights and biases
    CHECK(happened.synchronisations == 2);
    CHECK(happened.allocations == 0);
  }
  Population edited = population;
  for (std::size_t n = 0; n < networks.size(); ++n) {
    CHECK(share_apart(results[1][n].network, results[0][n].network, 2e-3) <= 0.02);
    edited.networks[n] = results[0][n].network;
  }
  const AuditReport expected = audit(population, edited, dataset, {.minimum_rows = 1}),
                    got = audit(population, edited, dataset, {.minimum_rows = 1, .device = Device::cuda()});
  for (std::size_t n = 0; n < networks.size(); ++n) {
    CHECK(got.networks[n].accuracy == Approx(expected.networks[n].accuracy).margin(0.02));
    CHECK(got.networks[n].divergence == Approx(expected.networks[n].divergence).epsilon(1e-3).margin(1e-7));
    CHECK(got.networks[n].accuracy_without_unused == Approx(expected.networks[n].accuracy_without_unused).margin(0.02));
  }
}

TEST_CASE("an edit in bf16 on a device is near that of the CPU") {
  const Dataset dataset = small_dataset(60);
  const EditorConfig config = small_config({.requirements = {"pruning"}, .messages = 2, .passes = 2, .edge_width = 16});
  const Population population = small_population(dataset, 3);
  const auto networks = pointers_to(population.networks);
  std::vector<EditResult> results[2];
  for (std::size_t d = 0; d < 2; ++d) {
    TrainedEditor trained = random_editor(config, dataset, kDevices[d]);
    trained.editor->set_precision(kernels::Precision::bf16);
    BatchEditor editor(trained, dataset);
    for (int turn = 0; turn < 3; ++turn)  // the last one as a graph
      results[d] = editor.edit(networks, spread_lambda(trained, networks.size()));
  }
  // A state may be rounded to either side: 4e-3 of it, and less of what becomes of it.
  for (std::size_t n = 0; n < networks.size(); ++n)
    CHECK(share_apart(results[1][n].network, results[0][n].network, 5e-3) <= 0.02);
}

TEST_CASE("an edit that is a graph has its bits when a larger batch came between") {
  const Dataset dataset = small_dataset(60);
  const EditorConfig config = small_config({.requirements = {"pruning"}, .messages = 2, .passes = 2, .edge_width = 16});
  std::vector<SubjectNetwork> networks = small_population(dataset, 1).networks;
  for (std::uint64_t seed = 1; seed <= 4; ++seed)
    networks.push_back(random_network({7, 60, 40, 2}, Activation::relu, seed));
  const auto all = pointers_to(networks);
  const std::vector<const SubjectNetwork*> small(all.begin(), all.begin() + 1);
  TrainedEditor trained = random_editor(config, dataset, Device::cuda());
  BatchEditor editor(trained, dataset);
  std::vector<EditResult> expected;
  for (int turn = 0; turn < 3; ++turn) expected = editor.edit(small, spread_lambda(trained, small.size()));
  editor.edit(all, spread_lambda(trained, all.size()));  // its kernels need more scratch memory
  const std::vector<EditResult> got = editor.edit(small, spread_lambda(trained, small.size()));
  CHECK(got[0].network.weights == expected[0].network.weights);
  CHECK(got[0].network.biases == expected[0].network.biases);
}

TEST_CASE("an edit to a budget on a device keeps what that of the CPU keeps, and one without stays as it was") {
  const Dataset dataset = small_dataset(60);
  const EditorConfig config =
      small_config({.requirements = {"pruning", "data_minimisation"}, .messages = 1, .passes = 2, .edge_width = 16});
  const Population population = small_population(dataset, 3);
  const auto networks = pointers_to(population.networks);
  std::vector<EditResult> results[2];
  for (std::size_t d = 0; d < 2; ++d) {
    TrainedEditor trained = random_editor(config, dataset, kDevices[d]);
    BatchEditor editor(trained, dataset);
    const std::vector<double> lambda = spread_lambda(trained, networks.size());
    std::vector<double> budget = {0.3, 3.0, kNoBudget, 2.0, 0.0, kNoBudget};
    std::vector<EditResult> free;
    for (int turn = 0; turn < 4; ++turn) {  // from the third on graphs, one with budgets and one without
      free = editor.edit(networks, lambda);
      if (turn == 3) budget[0] = 0.2;
      results[d] = editor.edit(networks, lambda, budget);
    }
    const auto again = editor.edit(networks, lambda);
    for (std::size_t n = 0; n < networks.size(); ++n) CHECK(again[n].network.weights == free[n].network.weights);
  }
  for (std::size_t n = 0; n < networks.size(); ++n)
    CHECK(share_apart(results[1][n].network, results[0][n].network, 2e-3) <= 0.02);
  for (const auto& edits : results) {
    CHECK(edits[0].nonzero_share <= 0.2);
    CHECK(edits[0].nonzero_share > 0.05);
    CHECK(edits[0].features.size() <= 3);
    CHECK(edits[1].features.size() == 2);
    CHECK(edits[2].nonzero_share == 0.0);
  }
}

TEST_CASE("fine-tuning on a device is that of the CPU") {
  const Dataset dataset = small_dataset(40);
  const auto original = mixed_networks(3);
  auto pruned = original;
  for (SubjectNetwork& network : pruned)
    for (std::size_t e = 0; e < network.weights.size(); e += 2) network.weights[e] = 0.0f;
  const FineTuningTarget target = GENERATE(FineTuningTarget::original, FineTuningTarget::labels);
  const FineTuning tuning{.target = target,
                          .steps = 3,
                          .rows = 6,
                          .learning_rate = 1e-3,
                          .weight_decay = 0.1,
                          .requirements = make_requirements({"equalised_odds"}, "test"),
                          .sensitive = {"group"},
                          .cell_rows = 2};
  const std::vector<double> lambda = {0.1, 0.5, 1.0};
  const auto tune = [&](Device device) {
    return fine_tune(pointers_to(pruned), pointers_to(original), dataset, dataset.editor_train, tuning, lambda, device);
  };
  const auto expected = tune(Device::cpu()), got = tune(Device::cuda());
  for (std::size_t n = 0; n < 3; ++n) {
    CHECK(got[n].weights != pruned[n].weights);
    CHECK(share_apart(got[n], expected[n], 1e-4) < 0.02);
    for (std::size_t e = 0; e < pruned[n].weights.size(); e += 2) CHECK(got[n].weights[e] == 0.0f);
  }
}

TEST_CASE("predictions on a device come back chunk by chunk") {
  const Population population = small_population(small_dataset(20), 3);
  const auto networks = pointers_to(population.networks);
  const Tensor x = random_tensor({30, 7}, DType::float32, 1);
  const std::vector<float> expected = predict_logits(networks, x.as<float>(), 30, 7);
  std::vector<float> got;
  const device::Counters before = device::counters();
  predict_in_chunks(
      networks, x.as<float>(), 30, 7,
      [&](const PredictedChunk& chunk) { got.insert(got.end(), chunk.logits.begin(), chunk.logits.end()); },
      Device::cuda(), 2 * 30 * 2 * 4);
  if (device::has_counters()) CHECK((device::counters() - before).copies_to_host == 2);
  CHECK(largest_difference(as_doubles(got), as_doubles(expected)) <=
        tolerance("subject_forward", DType::float32, largest(as_doubles(expected))));
}

}  // namespace
}  // namespace amend::test
