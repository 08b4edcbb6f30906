#include "metanet/train/editor_trainer.hpp"

#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <csignal>
#include <set>
#include <thread>

#include "engine/error.hpp"
#include "engine/memory.hpp"
#include "metanet/train/interrupt.hpp"
#include "metanet/train/training_data.hpp"
#include "metanet/train/training_error.hpp"
#include "metanet/train/training_step.hpp"
#include "requirements/registry.hpp"
#include "test/support/data_files.hpp"
#include "test/support/editor_setup.hpp"
#include "test/support/heap.hpp"
#include "test/support/op_run.hpp"

namespace amend {
namespace {

/// Small batches, and the lines of `more` on top.
EditorConfig config_of(const std::vector<std::string>& requirements, int passes, const std::string& more = {}) {
  return test::small_config(
      {.requirements = requirements,
       .messages = 1,
       .passes = passes,
       .more = "  batch: 6\n  rows: 64\n  cell_rows: 16\n  probe_rows: 48\n  probe_cell_rows: 12\n"
               "  validation_rows: 64\n  warmup: 5\n" +
               more});
}

TrainedEditor train(const EditorConfig& config, const EditorTrainOptions& options = {}) {
  const Dataset dataset = test::small_dataset();
  return train_editor(config, test::small_population(dataset, 9), dataset, make_requirements, options);
}

bool same(const TrainedEditor& a, const TrainedEditor& b) {
  return test::same_bits(a.editor->parameters().value(), b.editor->parameters().value()) &&
         a.provenance == b.provenance;
}

TEST_CASE("training an editor lowers its loss on networks and rows it was not trained on", "[slow]") {
  const auto requirements = GENERATE(from_range(test::kRequirementSets));
  const std::string scalarisation = GENERATE("linear", "chebyshev");
  CAPTURE(requirements, scalarisation);
  const auto score = [&](const std::string& rate) {
    const TrainedEditor trained = train(config_of(
        requirements, 3,
        "  steps: 60\n  validations: 1\n  scalarisation: " + scalarisation + "\n  learning_rate: " + rate + "\n"));
    CHECK(trained.provenance["steps"] == 60);
    CHECK(trained.provenance["best_step"] == 60);
    CHECK(trained.provenance["networks"] == 6);
    return trained.provenance["validation_score"].get<double>();
  };
  // A maximum of few features moves in steps.
  CHECK(score("0.001") < (scalarisation == "linear" ? 0.97 : 0.99) * score("1e-12"));
}

TEST_CASE("with split_rows probes read one half of the rows and the loss the other") {
  const Dataset dataset = test::small_dataset();
  const Population population = test::small_population(dataset, 9);
  const TrainedEditor trained = make_editor(config_of({"equalised_odds"}, 2, "  split_rows: true\n"), dataset,
                                            make_requirements, DType::float32, Device::cpu());
  Arena fixed;
  const TrainingData data(trained, population, dataset, RandomStream(1, 2), fixed, Stream{});
  const Rows& rows = dataset.editor_train;
  CHECK(data.probe_rows.rows() == (rows.count + 1) / 2);
  CHECK(data.loss_rows.rows() == rows.count / 2);
  const auto drawn_from_half = [&](const RowSampler& sampler, std::int64_t half) {
    std::set<std::vector<float>> members;
    for (std::int64_t row = half; row < rows.count; row += 2)
      members.emplace(rows.input.begin() + row * dataset.inputs, rows.input.begin() + (row + 1) * dataset.inputs);
    Arena arena;
    const RowBatch batch = sampler.draw(arena, 100, 20, RandomStream(3, 4), DType::float32, Stream{});
    const float* x = batch.x.as<float>();
    for (std::int64_t row = 0; row < batch.x.extent(0); ++row, x += dataset.inputs)
      if (!members.contains(std::vector<float>(x, x + dataset.inputs))) return false;
    return true;
  };
  CHECK(drawn_from_half(data.probe_rows, 0));
  CHECK(drawn_from_half(data.loss_rows, 1));
  CHECK_FALSE(drawn_from_half(data.loss_rows, 0));
  CHECK(train(config_of({"equalised_odds"}, 2, "  steps: 2\n  split_rows: true\n")).provenance["steps"] == 2);
}

TEST_CASE("a training on fewer networks is one on a population that has no others") {
  const Dataset dataset = test::small_dataset();
  const std::string more = "  steps: 4\n  validations: 1\n";
  Population population = test::small_population(dataset, 9), few = population;
  for (const std::size_t gone : {7, 6, 4}) {  // train networks; 8, 5 and 2 are for validation
    few.networks.erase(few.networks.begin() + static_cast<std::ptrdiff_t>(gone));
    few.split.erase(few.split.begin() + static_cast<std::ptrdiff_t>(gone));
    few.attributes.erase(few.attributes.begin() + static_cast<std::ptrdiff_t>(gone));
  }
  const auto trained = [&](const Population& on, const std::string& networks) {
    return train_editor(config_of({"pruning"}, 2, more + networks), on, dataset, make_requirements, {});
  };
  const TrainedEditor expected = trained(few, ""), got = trained(population, "  networks: 3\n");
  CHECK(got.provenance["networks"] == 3);
  CHECK(test::same_bits(got.editor->parameters().value(), expected.editor->parameters().value()));
  CHECK_FALSE(
      test::same_bits(trained(population, "").editor->parameters().value(), expected.editor->parameters().value()));
}

TEST_CASE("an interrupted training ends in the same bits, and so does one with more threads", "[slow]") {
  const EditorConfig config = config_of(test::kRequirementSets[3], 2, "  steps: 12\n  validations: 4\n");
  const test::TemporaryFolder folder;
  const std::filesystem::path checkpoint = folder / "checkpoint";
  const test::ThreadCount one(1);
  const TrainedEditor whole = train(config, {.checkpoint = folder / "other"});
  // Between two validations, and before the first.
  for (const std::int64_t stop : {std::int64_t{5}, std::int64_t{1}}) {
    train(config, {.checkpoint = checkpoint, .stop_after = stop});
    CHECK(same(train(config, {.checkpoint = checkpoint, .resume = true}), whole));
  }
  {
    const test::ThreadCount two(2);
    CHECK(same(train(config), whole));
  }
  // Resuming what is complete changes nothing.
  CHECK(same(train(config, {.checkpoint = folder / "other", .resume = true}), whole));
  CHECK_FALSE(
      same(train(config_of(test::kRequirementSets[3], 2, "  steps: 12\n  validations: 4\n  off: 0.5\n")), whole));
}

/// An editor of two populations on datasets that have nothing in common, or of those that are named.
struct TwoDatasets {
  Dataset small = test::small_dataset(), other = test::other_dataset();
  Population on_small = test::small_population(small, 9), on_other = test::small_population(other, 6);
  EditorSource a{&on_small, &small}, b{&on_other, &other};

  static TrainedEditor train(const EditorConfig& config, const std::vector<EditorSource>& sources,
                             const EditorTrainOptions& options = {}) {
    return train_editor(config, sources, make_requirements, options);
  }
};

EditorConfig transfer_config(const std::vector<std::string>& requirements, const std::string& more) {
  return test::small_config({.requirements = requirements,
                             .messages = 0,
                             .passes = 2,
                             .input_embedding = false,
                             .more = "  batch: 6\n  rows: 64\n  cell_rows: 16\n  probe_rows: 48\n"
                                     "  probe_cell_rows: 12\n  validation_rows: 64\n  warmup: 2\n" +
                                     more});
}

TEST_CASE("a training on several populations takes them in turn") {
  const TwoDatasets sets;
  const auto requirements = GENERATE(from_range(test::kRequirementSets));
  CAPTURE(requirements);
  const EditorConfig config = transfer_config(requirements, "  steps: 6\n  validations: 2\n"),
                     two_steps = transfer_config(requirements, "  steps: 2\n  validations: 1\n");
  const auto after = [&](const EditorConfig& steps, const std::vector<EditorSource>& sources) {
    return test::values(TwoDatasets::train(steps, sources).editor->parameters().value());
  };
  const auto parameters = [&](const std::vector<EditorSource>& sources) { return after(config, sources); };
  const auto both = parameters({sets.a, sets.b}), alone = parameters({sets.a});
  CHECK(both != alone);
  CHECK(both != parameters({sets.b, sets.a}));
  CHECK(both != parameters({sets.b}));
  // The second step is on the second, and is the last one.
  CHECK(after(two_steps, {sets.a, sets.b}) != after(two_steps, {sets.a}));
  CHECK(after(two_steps, {sets.a, sets.b}) == after(two_steps, {sets.a, sets.b, sets.a}));
  // Twice the same is once; every other turn matters, and so does the third.
  CHECK(parameters({sets.a, sets.a}) == alone);
  CHECK(parameters({sets.a, sets.b, sets.a, sets.b}) == both);
  CHECK(parameters({sets.a, sets.a, sets.b}) != both);

  const TrainedEditor trained = TwoDatasets::train(config, {sets.a, sets.b});
  CHECK(trained.provenance["networks"] == 10);
  REQUIRE(trained.datasets.size() == 2);
  CHECK(trained.datasets[1].name == "other");
}

TEST_CASE("the validation score of several populations is the mean of theirs") {
  const TwoDatasets sets;
  const auto score = [&](const std::vector<EditorSource>& sources) {
    const EditorConfig config =
        transfer_config({"pruning", "equalised_odds"}, "  steps: 2\n  validations: 1\n  learning_rate: 1e-12\n");
    return TwoDatasets::train(config, sources).provenance["validation_score"].get<double>();
  };
  const double a = score({sets.a}), b = score({sets.b});
  REQUIRE(std::abs(a - b) > 1e-3 * a);
  CHECK(score({sets.a, sets.b}) == Approx((a + b) / 2).epsilon(1e-6));
  CHECK(score({sets.a, sets.b, sets.b}) == Approx((a + 2 * b) / 3).epsilon(1e-6));
}

TEST_CASE("a training on several populations resumes to the same bits, on any number of threads", "[slow]") {
  const TwoDatasets sets;
  const EditorConfig config = transfer_config(test::kRequirementSets[3], "  steps: 12\n  validations: 4\n");
  const test::TemporaryFolder folder;
  const test::ThreadCount one(1);
  const std::vector<EditorSource> sources{sets.a, sets.b};
  const TrainedEditor whole = TwoDatasets::train(config, sources);
  for (const std::int64_t stop : {std::int64_t{5}, std::int64_t{8}}) {
    const std::filesystem::path checkpoint = folder / std::to_string(stop);
    TwoDatasets::train(config, sources, {.checkpoint = checkpoint, .stop_after = stop});
    for (const std::vector<EditorSource>& others : {std::vector{sets.b, sets.a}, std::vector{sets.a}})
      CHECK(test::input_error([&] {
              TwoDatasets::train(config, others, {.checkpoint = checkpoint, .resume = true});
            }) == checkpoint.string() + ": the checkpoint was written with other data");
    CHECK(same(TwoDatasets::train(config, sources, {.checkpoint = checkpoint, .resume = true}), whole));
  }
  const test::ThreadCount two(2);
  CHECK(same(TwoDatasets::train(config, sources), whole));
}

TEST_CASE("training refuses populations that do not go together") {
  TwoDatasets sets;
  const auto error = [&](const EditorConfig& config) {
    return test::input_error([&] { TwoDatasets::train(config, {sets.a, sets.b}); });
  };
  const std::string steps = "  steps: 2\n";
  CHECK(
      error(config_of({"pruning"}, 1, steps)) ==
      "small.yaml: editor.input_embedding: expected false for 2 populations, got true: a learned vector belongs to an "
      "input of one dataset");
  EditorConfig config = transfer_config({"equalised_odds"}, steps);
  config.sensitive = {"group", "age"};
  CHECK(error(config) == "small.yaml: sensitive: none of the datasets has a sensitive attribute `age`");
  config.sensitive = {"group", "group"};
  CHECK(error(config) == "small.yaml: sensitive: expected each attribute once, got `group` again");
  config.sensitive = {"group"};
  CHECK(error(config).empty());
  sets.on_other.networks[1] = test::random_network({7, 3, 2}, Activation::relu, 1);
  CHECK_THAT(error(config), Catch::Contains("expected 6 inputs and 2 outputs, got 7 and 2"));
  sets.other.sensitive.clear();
  CHECK(error(config) == "other.yaml: fairness needs a sensitive attribute, `other` has none");
  sets.other.classes = 3;
  CHECK(error(config) == "other.yaml: expected 2 classes as in `small`, got 3");
  sets.other.fingerprint = "another";
  CHECK_THAT(error(config), Catch::StartsWith("other.yaml: expected the dataset the population was trained on"));
}

TEST_CASE("SIGINT ends a training after its step, and resuming ends in the same bits", "[slow]") {
  const EditorConfig config = config_of(test::kRequirementSets[0], 2, "  steps: 12\n  validations: 4\n");
  const test::TemporaryFolder folder;
  const TrainedEditor whole = train(config);
  {
    const InterruptScope scope;
    CHECK_FALSE(interrupted());
    std::raise(SIGINT);
    CHECK(interrupted());
    CHECK(train(config, {.checkpoint = folder / "at-once"}).provenance["steps"] == 0);
  }
  CHECK_FALSE(interrupted());
  CHECK(same(train(config, {.checkpoint = folder / "at-once", .resume = true}), whole));

  std::int64_t stopped = 0;
  {
    const InterruptScope scope;
    // In the midst of it: when the checkpoint of the first validation is there.
    std::thread sender([&] {
      while (!std::filesystem::exists(folder / "later")) std::this_thread::yield();
      ::kill(::getpid(), SIGINT);
    });
    stopped = train(config, {.checkpoint = folder / "later"}).provenance["steps"].get<std::int64_t>();
    sender.join();
  }
  CHECK(stopped >= 3);
  CHECK(same(train(config, {.checkpoint = folder / "later", .resume = true}), whole));
  // A step to stop at that is past already.
  train(config, {.checkpoint = folder / "past", .stop_after = 7});
  CHECK(train(config, {.checkpoint = folder / "past", .resume = true, .stop_after = 5}).provenance["steps"] == 7);
}

TEST_CASE("a checkpoint of another training is refused") {
  const Dataset dataset = test::small_dataset();
  const Population population = test::small_population(dataset, 6);
  const EditorConfig config = config_of({"pruning"}, 1, "  steps: 4\n");
  const test::TemporaryFolder folder;
  const std::filesystem::path checkpoint = folder / "checkpoint";
  train_editor(config, population, dataset, make_requirements, {.checkpoint = checkpoint, .stop_after = 2});
  const auto error = [&](const EditorConfig& c, const Population& p, const Dataset& d) {
    return test::input_error(
        [&] { train_editor(c, p, d, make_requirements, {.checkpoint = checkpoint, .resume = true}); });
  };
  const std::string where = checkpoint.string() + ": the checkpoint was written with ";
  CHECK(error(config_of({"pruning"}, 1, "  steps: 5\n"), population, dataset) == where + "another configuration");
  Population other = population;
  other.networks[0].weights[0] += 0.5f;
  CHECK(error(config, other, dataset) == where + "another population");
  Population renamed = population;
  Dataset changed = dataset;
  renamed.dataset_fingerprint = changed.fingerprint = "other";
  CHECK(error(config, renamed, changed) == where + "other data");
  const std::string bytes = test::read_bytes(checkpoint);
  test::write_bytes(checkpoint, bytes.substr(0, bytes.size() / 2));
  CHECK_THAT(error(config, population, dataset), Catch::StartsWith(checkpoint.string()));
  std::filesystem::remove(checkpoint);
  CHECK_THAT(error(config, population, dataset), Catch::StartsWith(checkpoint.string()));
  CHECK_THROWS_WITH(train_editor(config, population, dataset, make_requirements, {.stop_after = 2}),
                    Catch::Contains("stopping early needs a checkpoint file"));
}

TEST_CASE("training refuses a population that does not fit") {
  const Dataset dataset = test::small_dataset();
  const EditorConfig config = config_of({"pruning"}, 1, "  steps: 2\n");
  const auto error = [&](const Population& population, const EditorConfig& c) {
    return test::input_error([&] { train_editor(c, population, dataset, make_requirements, {}); });
  };
  Population population = test::small_population(dataset, 6);
  for (const PopulationSplit split : {PopulationSplit::train, PopulationSplit::validation}) {
    Population one_split = population;
    one_split.split.assign(6, split);
    CHECK_THAT(error(one_split, config),
               Catch::Contains("population of `small`: expected networks in the splits train and validation"));
  }
  Population narrow = population;
  narrow.networks[1] = test::random_network({6, 3, 2}, Activation::relu, 1);
  CHECK_THAT(error(narrow, config), Catch::Contains("expected 7 inputs and 2 outputs, got 6 and 2"));
  EditorConfig unknown = config_of({"equalised_odds"}, 1, "  steps: 2\n");
  unknown.sensitive = {"age"};
  CHECK_THAT(error(population, unknown), Catch::Contains("age"));
  population.dataset_fingerprint = "fedcba9876543210";
  CHECK_THAT(error(population, config),
             Catch::Contains("small.yaml: expected the dataset the population was trained on") &&
                 Catch::Contains("fedcba987654"));
}

TEST_CASE("a loss that is not finite stops the training and names network, term and step") {
  const Dataset dataset = test::small_dataset();
  EditorConfig config =
      config_of({"pruning"}, GENERATE(1, 3), "  steps: 200\n  validations: 1\n  learning_rate: 1e-12\n");
  config.batch = 1;
  Population population = test::small_population(dataset, 9);
  // Logits that overflow float32 on every row: the last layer's weights and biases are as large as float32 has them.
  SubjectNetwork& planted = population.networks[6];
  REQUIRE(population.split[6] == PopulationSplit::train);
  planted.name = "planted";
  std::fill(planted.weights.begin() + static_cast<std::ptrdiff_t>(planted.weight_offset(planted.layers() - 1)),
            planted.weights.end(), 3e38f);
  std::fill(planted.biases.begin(), planted.biases.end(), 3e38f);
  const std::vector<int> train_networks = networks_of(population, PopulationSplit::train);
  const auto place =
      static_cast<std::uint32_t>(std::find(train_networks.begin(), train_networks.end(), 6) - train_networks.begin());
  // Networks are drawn with sequence 11 of the seed.
  std::uint32_t step = 0;
  while (RandomStream(config.seed, 11, step).below(0, static_cast<std::uint32_t>(train_networks.size())) != place)
    ++step;
  CAPTURE(step);
  REQUIRE(step > 0);
  CHECK_THROWS_MATCHES(train_editor(config, population, dataset, make_requirements, {}), TrainingError,
                       Catch::Message("[editor training] step " + std::to_string(step) +
                                      ": the divergence after pass 1 is not finite for network `planted`; a lower "
                                      "learning rate may help"));
}

TEST_CASE("a learning rate that is far too high ends the training with an error of its own kind") {
  const auto requirements = GENERATE(from_range(test::kRequirementSets));
  const int passes = GENERATE(1, 3);
  CAPTURE(requirements, passes);
  CHECK_THROWS_AS(train(config_of(requirements, passes, "  steps: 20\n  learning_rate: 1e30\n")), TrainingError);
}

TEST_CASE("a steady-state training step allocates nothing") {
  const test::ThreadCount one(1);
  const auto requirements = GENERATE(from_range(test::kRequirementSets));
  const int passes = GENERATE(1, 3);
  const std::string more = GENERATE("", "  scalarisation: chebyshev\n");
  CAPTURE(requirements, passes, more);
  const Dataset dataset = test::small_dataset();
  const TrainedEditor trained = test::small_editor(
      {.requirements = requirements, .messages = 2, .passes = passes, .more = more}, dataset, DType::float32);
  Arena fixed;
  const EditorData data = make_editor_data(dataset, trained.groups_on(dataset), fixed, DType::float32);
  const RowSampler sampler(dataset, dataset.editor_train, trained.groups_on(dataset));
  const auto networks = test::mixed_networks(6);
  std::vector<const SubjectNetwork*> pointers;
  for (const SubjectNetwork& network : networks) pointers.push_back(&network);
  const ProbeCache cache(*trained.editor, data, pointers,
                         sampler.draw(fixed, 64, 16, RandomStream(1, 1), DType::float32));
  TrainingStep step(trained);
  const auto lambda = test::spread_lambda(trained, 4);
  const std::vector<double> weight = {0.1, 0.2, 0.3, 0.4};
  const std::vector<std::vector<int>> picks = {{0, 1, 2, 3}, {4, 5, 0, 3}, {2, 2, 1, 5}};
  const auto run = [&](std::uint32_t number) {
    step.run({.data = &data,
              .cache = &cache,
              .picks = picks[number % 3],
              .lambda = lambda,
              .weight = weight,
              .probe_sampler = &sampler,
              .loss_sampler = &sampler,
              .probe_stream = RandomStream(3, 1, number),
              .loss_stream = RandomStream(3, 2, number),
              .probe_rows = 48,
              .probe_cell_rows = 12,
              .rows = 64,
              .cell_rows = 16,
              .training = true,
              .step = number,
              .shard = 0});
  };
  for (std::uint32_t number = 0; number < 6; ++number) run(number);
  const std::size_t buffers = allocation_count(), heap = test::heap_allocation_count();
  for (std::uint32_t number = 6; number < 12; ++number) run(number);
  CHECK(allocation_count() == buffers);
  CHECK(test::heap_allocation_count() == heap);
  CHECK(test::largest(test::values(step.grad())) > 0.0);
}

TEST_CASE("networks of a batch weigh in by the inverse of their requirements' weights") {
  std::vector<double> weight;
  loss_weights(std::vector<double>{0.04, 0.0, 0.04, 0.01, 0.0, 0.0}, 2, 0.5, weight);
  REQUIRE(weight.size() == 3);
  CHECK(weight[0] == Approx(5.0));          // .04^-.5
  CHECK(weight[1] == Approx(7.071067812));  // .02^-.5
  CHECK(weight[2] == 1.0);
}

}  // namespace
}  // namespace amend
