#include "metanet/train/population_trainer.hpp"

#include <omp.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <map>
#include <set>

#include "engine/error.hpp"
#include "engine/memory.hpp"
#include "engine/random.hpp"
#include "metanet/train/population_plan.hpp"
#include "metanet/train/training_pool.hpp"

using namespace amend;

namespace {

Rows make_rows(std::int64_t count, std::uint32_t stream) {
  const RandomStream random(7, stream);
  Rows rows;
  rows.count = count;
  for (std::int64_t r = 0; r < count; ++r) {
    const auto at = static_cast<std::uint64_t>(r) * 8;
    const float a = random.normal(at), b = random.normal(at + 1);
    const std::uint32_t level = random.below(8 * static_cast<std::uint64_t>(count) + at, 3);
    rows.input.insert(rows.input.end(), {a, b, level == 0 ? 1.0f : 0.0f, level == 1 ? 1.0f : 0.0f,
                                         level == 2 ? 1.0f : 0.0f, random.normal(at + 2)});
    const float score = a + 0.7f * b + (level == 2 ? 1.0f : -0.5f) + 0.4f * random.normal(at + 3);
    rows.label.push_back(score > 0.0f ? 1 : 0);
  }
  return rows;
}

/// Four features, six inputs; the label depends on the first three features, about half are positive.
Dataset make_dataset() {
  Dataset dataset;
  dataset.name = "planted";
  dataset.source = "planted.yaml";
  dataset.fingerprint = "0";
  dataset.features = {{.name = "a", .first_input = 0},
                      {.name = "b", .first_input = 1},
                      {.name = "level", .kind = ColumnKind::categorical, .first_input = 2, .input_count = 3},
                      {.name = "noise", .first_input = 5}};
  dataset.inputs = 6;
  dataset.class_names = {"no", "yes"};
  dataset.subject_train = make_rows(1500, 0);
  dataset.validation = make_rows(800, 1);
  return dataset;
}

const char* const kMixed = R"(
dataset: planted.yaml
seed: 3
networks: 12
split: {train: 0.5, validation: 0.25, test: 0.25}
widths: [12-8, 10]
depth: [1, 3]
width: [6, 14]
activations: [relu, tanh, silu, sigmoid]
learning_rate: [0.005, 0.02]
weight_decay: [0.0001, 0.01]
epochs: [4, 12]
min_steps: 150
batch_size: 48
)";

PopulationConfig make_config(const std::string& extra = {}) {
  return parse_population_config(kMixed + extra, "population.yaml");
}

double accuracy(const Population& population, std::size_t n) {
  return population.attributes[n]["training"]["validation_accuracy"];
}

bool same_bits(const SubjectNetwork& a, const SubjectNetwork& b) {
  return a.widths == b.widths && a.activation == b.activation && a.weights == b.weights && a.biases == b.biases;
}

std::string message(const std::string& text) {
  try {
    parse_population_config(text, "population.yaml");
  } catch (const InputError& error) {
    return error.what();
  }
  return {};
}

std::string with(const std::string& key, const std::string& line) {
  std::string text = kMixed;
  const auto begin = text.find('\n' + key + ':') + 1;
  text.replace(begin, text.find('\n', begin) - begin, line);
  return text;
}

}  // namespace

TEST_CASE("a population of mixed shapes learns", "[population]") {
  const Dataset dataset = make_dataset();
  const Population population = train_population(make_config(), dataset);
  REQUIRE(population.networks.size() == 12);
  std::set<std::vector<int>> shapes;
  std::set<Activation> activations;
  for (std::size_t n = 0; n < 12; ++n) {
    const SubjectNetwork& network = population.networks[n];
    validate(network, network.name);
    shapes.insert(network.widths);
    activations.insert(network.activation);
    INFO(network.name << ' ' << shape_text(network.widths) << ' ' << to_string(network.activation));
    CHECK(accuracy(population, n) > 0.85);
  }
  CHECK(shapes.size() > 4);
  CHECK(activations.size() > 2);
  CHECK(population.dataset_name == "planted");
  CHECK(networks_of(population, PopulationSplit::train).size() == 6);
  CHECK(networks_of(population, PopulationSplit::validation).size() == 3);
  CHECK(networks_of(population, PopulationSplit::test).size() == 3);
}

TEST_CASE("the accuracy that is reported is that of the network", "[population]") {
  const Dataset dataset = make_dataset();
  PopulationConfig config = make_config();
  config.networks = 1;
  const Population population = train_population(config, dataset);
  const SubjectNetwork& network = population.networks[0];
  int correct = 0;
  for (std::int64_t r = 0; r < dataset.validation.count; ++r) {
    const auto row = dataset.validation.input.begin() + r * dataset.inputs;
    std::vector<double> value(row, row + dataset.inputs);
    std::size_t weight = 0, bias = 0;
    for (std::size_t layer = 1; layer < network.widths.size(); ++layer) {
      std::vector<double> next;
      for (int i = 0; i < network.widths[layer]; ++i) {
        double sum = static_cast<double>(network.biases[bias++]);
        for (const double source : value) sum += source * static_cast<double>(network.weights[weight++]);
        const double sigmoid = 1.0 / (1.0 + std::exp(-sum));
        if (layer + 1 < network.widths.size()) {
          if (network.activation == Activation::relu) sum = std::max(sum, 0.0);
          if (network.activation == Activation::tanh) sum = std::tanh(sum);
          if (network.activation == Activation::silu) sum *= sigmoid;
          if (network.activation == Activation::sigmoid) sum = sigmoid;
        }
        next.push_back(sum);
      }
      value = next;
    }
    correct += (value[1] > value[0] ? 1 : 0) == dataset.validation.label[static_cast<std::size_t>(r)] ? 1 : 0;
  }
  // float32 logits that are nearly equal may fall on the other side.
  CHECK(accuracy(population, 0) * 800 == Approx(correct).margin(1.5));
}

TEST_CASE("a network has the same bits alone, in any pool and on any number of threads", "[population]") {
  const Dataset dataset = make_dataset();
  const std::string diverse = "diversity: {feature_subset: {keep: 0.7}, covariate_shift: {strength: 1}}\n";
  PopulationConfig config = make_config(diverse);
  const Population together = train_population(config, dataset, {.threads = 1});
  const Population threaded = train_population(config, dataset, {.threads = 3, .pool = 3});
  const Population one_by_one = train_population(config, dataset, {.threads = 2, .pool = 1});
  for (std::size_t n = 0; n < 12; ++n) {
    INFO(n);
    CHECK(same_bits(together.networks[n], threaded.networks[n]));
    CHECK(same_bits(together.networks[n], one_by_one.networks[n]));
    CHECK(accuracy(together, n) == accuracy(threaded, n));
  }
  config.networks = 2;
  const Population fewer = train_population(config, dataset);
  CHECK(same_bits(fewer.networks[0], together.networks[0]));
  CHECK(same_bits(fewer.networks[1], together.networks[1]));
  CHECK_FALSE(same_bits(fewer.networks[0], fewer.networks[1]));

  config.seed = 4;
  CHECK_FALSE(same_bits(train_population(config, dataset).networks[0], fewer.networks[0]));
}

TEST_CASE("a step of training in steady state allocates no buffers", "[population]") {
  const Dataset dataset = make_dataset();
  const PopulationConfig config = make_config();
  const std::vector<TrainingPlan> plans = plan_population(config, dataset);
  const TrainingRows rows(dataset.subject_train, dataset.inputs);
  TrainingPool pool(config, dataset, rows, Stream());
  pool.admit({&plans[0], &plans[1], &plans[2]});
  // One thread: of several, one that has been idle so far would still have to get its scratch memory.
  const int threads = omp_get_max_threads();
  omp_set_num_threads(1);
  for (int step = 0; step < 3; ++step) pool.step();
  const std::size_t before = allocation_count();
  for (int step = 0; step < 50; ++step) REQUIRE_FALSE(pool.step());
  CHECK(allocation_count() == before);
  omp_set_num_threads(threads);
}

TEST_CASE("snapshots of a run stay in its split and get better", "[population]") {
  const Dataset dataset = make_dataset();
  const Population population = train_population(make_config("snapshots: [0.02, 0.5]\n"), dataset);
  REQUIRE(population.networks.size() == 36);
  std::map<std::string, std::set<PopulationSplit>> splits;
  std::set<std::string> names;
  double early = 0.0, late = 0.0;
  for (std::size_t n = 0; n < 36; ++n) {
    splits[population.networks[n].run].insert(population.split[n]);
    names.insert(population.networks[n].name);
    const double trained = population.attributes[n]["training"]["trained"];
    CHECK(trained == (n % 3 == 0 ? 0.02 : n % 3 == 1 ? 0.5 : 1.0));
    if (n % 3 == 0) early += accuracy(population, n);
    if (n % 3 == 2) late += accuracy(population, n);
  }
  CHECK(names.size() == 36);
  REQUIRE(splits.size() == 12);
  for (const auto& [run, split] : splits) CHECK(split.size() == 1);
  CHECK(late > early + 0.6);  // summed over 12 runs
  CHECK(networks_of(population, PopulationSplit::train).size() == 18);

  // The final network is the one that a run without snapshots gives.
  const Population plain = train_population(make_config(), dataset);
  CHECK(same_bits(plain.networks[5], population.networks[17]));
}

TEST_CASE("test-only shapes are in the test split only", "[population]") {
  const Dataset dataset = make_dataset();
  // Free shapes would give a width of 7 or 9 to every other network.
  const PopulationConfig config = parse_population_config(
      "dataset: d\nnetworks: 200\nsplit: {train: 0.6, validation: 0.2, test: 0.2}\ndepth: 1\nwidth: [7, 9]\n"
      "test_only_widths: [7, 9-9]\ntest_only_share: 0.75\n",
      "p");
  const std::vector<TrainingPlan> plans = plan_population(config, dataset);
  const std::set<std::vector<int>> reserved{{6, 7, 2}, {6, 9, 9, 2}};
  std::map<std::vector<int>, int> seen;
  for (const TrainingPlan& plan : plans) {
    const bool unseen = reserved.count(plan.widths) == 1;
    CHECK(plan.unseen_shape == unseen);
    if (unseen) {
      CHECK(plan.split == PopulationSplit::test);
      ++seen[plan.widths];
    }
  }
  CHECK(seen[{6, 7, 2}] == 15);
  CHECK(seen[{6, 9, 9, 2}] == 15);
}

TEST_CASE("splits have their fractions for every prefix", "[population]") {
  PopulationConfig config;
  for (const int count : {5, 48, 400}) {
    const auto split = assign_splits(config, count);
    const auto number = [&](PopulationSplit which) { return std::count(split.begin(), split.end(), which); };
    CHECK(std::abs(static_cast<double>(number(PopulationSplit::test)) - 0.2 * count) < 1.0);
    CHECK(std::abs(static_cast<double>(number(PopulationSplit::validation)) - 0.1 * count) <= 0.5);
    CHECK(std::equal(split.begin(), split.end(), assign_splits(config, 500).begin()));
  }
}

TEST_CASE("weights of features that a network does not use are exactly 0", "[population]") {
  const Dataset dataset = make_dataset();
  const Population population =
      train_population(make_config("diversity: {feature_subset: {keep: 0.5, at_least: 2}}\n"), dataset);
  int unused = 0;
  for (std::size_t n = 0; n < population.networks.size(); ++n) {
    const SubjectNetwork& network = population.networks[n];
    std::set<std::string> used;
    for (const auto& name : population.attributes[n]["training"]["features"]) used.insert(name.get<std::string>());
    CHECK(used.size() >= 2);
    for (const Feature& feature : dataset.features) {
      const bool uses = used.count(feature.name) == 1;
      unused += uses ? 0 : 1;
      for (int target = 0; target < network.widths[1]; ++target)
        for (int input = feature.first_input; input < feature.first_input + feature.input_count; ++input) {
          const float weight = network.weights[static_cast<std::size_t>(target * dataset.inputs + input)];
          if ((weight != 0.0f) != uses) FAIL(network.name << ": weight " << weight << " of feature " << feature.name);
        }
    }
  }
  CHECK(unused > 5);
}

TEST_CASE("rows are drawn without replacement, shifted when asked to", "[population]") {
  const Dataset dataset = make_dataset();
  PopulationConfig config = make_config("data_fraction: 0.6\n");
  const auto mean_offset = [&](const TrainingPlan& plan) {
    // Largest shift of the mean of a numeric input, in standard deviations.
    const std::vector<std::int32_t> rows = draw_rows(config, dataset, plan);
    CHECK(static_cast<std::int64_t>(rows.size()) == plan.row_count);
    CHECK(std::adjacent_find(rows.begin(), rows.end(), std::greater_equal<>()) == rows.end());
    double offset = 0.0;
    for (const std::size_t input : {std::size_t{0}, std::size_t{1}, std::size_t{5}}) {
      double sum = 0.0;
      for (const std::int32_t row : rows)
        sum += static_cast<double>(dataset.subject_train.input[static_cast<std::size_t>(row) * 6 + input]);
      offset = std::max(offset, std::abs(sum) / static_cast<double>(rows.size()));
    }
    return offset;
  };
  double plain = 0.0, shifted = 0.0;
  for (const TrainingPlan& plan : plan_population(config, dataset)) {
    CHECK(plan.row_count == 900);
    plain += mean_offset(plan) / 12.0;
  }
  config.diversity.shift_strength = 1.5;
  for (const TrainingPlan& plan : plan_population(config, dataset)) {
    CHECK(plan.row_count == 450);
    shifted += mean_offset(plan) / 12.0;
  }
  CHECK(plain < 0.1);
  CHECK(shifted > 0.3);
}

TEST_CASE("class weights move the decisions of a network", "[population]") {
  const Dataset dataset = make_dataset();
  const auto positive = [&](const char* weight) {
    const Population population =
        train_population(make_config(std::string("diversity: {class_weight_log2: ") + weight + "}\n"), dataset);
    double bias = 0.0;  // of the positive over the negative logit
    for (const SubjectNetwork& network : population.networks) {
      const std::size_t count = network.biases.size();
      bias += static_cast<double>(network.biases[count - 1] - network.biases[count - 2]);
    }
    return bias;
  };
  CHECK(positive("3") > positive("-3") + 1.0);
}

TEST_CASE("a diverging network is an error that names run and learning rate", "[population]") {
  Dataset dataset = make_dataset();
  for (float& value : dataset.subject_train.input) value *= 1e38f;
  try {
    train_population(make_config(), dataset);
    FAIL("expected an error");
  } catch (const InputError& error) {
    CHECK_THAT(error.what(), Catch::StartsWith("population.yaml: learning_rate: the loss of run-00"));
    CHECK_THAT(error.what(), Catch::Contains("at learning rate 0.0") && Catch::Contains("now 0.02"));
  }
}

TEST_CASE("population configurations are checked", "[population]") {
  CHECK(message(kMixed).empty());
  CHECK_THAT(message(kMixed + std::string("epoch: 3\n")), Catch::Contains("epoch") && Catch::Contains("epochs"));
  CHECK_THAT(message(kMixed + std::string("diversity: {feature_subsets: 1}\n")), Catch::Contains("feature_subset"));
  CHECK_THAT(message(with("networks", "networks: 0")), Catch::Contains("population.yaml: networks"));
  CHECK_THAT(message(with("dataset", "")), Catch::Contains("population.yaml: dataset"));
  CHECK_THAT(message(with("widths", "widths: [12-8, 1x]")),
             Catch::Contains("population.yaml: widths[1]") && Catch::Contains("`1x`"));
  CHECK_THAT(message(with("widths", "widths: [12, 12]")), Catch::Contains("again"));
  CHECK_THAT(message(with("depth", "")), Catch::Contains("population.yaml: depth"));
  CHECK_THAT(message(with("split", "split: {train: 0.5, test: 0.2}")), Catch::Contains("add up to 1"));
  CHECK_THAT(message(with("activations", "activations: [gelu]")), Catch::Contains("gelu") && Catch::Contains("silu"));
  CHECK_THAT(message(with("learning_rate", "learning_rate: [0.1, 0.01]")), Catch::Contains("low <= high"));
  CHECK_THAT(message(with("weight_decay", "weight_decay: [0, 0.1]")), Catch::Contains("log-uniformly"));
  CHECK(message(with("weight_decay", "weight_decay: 0")).empty());
  CHECK_THAT(message(kMixed + std::string("snapshots: [0.5, 0.2]\n")), Catch::Contains("ascending"));
  CHECK_THAT(message(kMixed + std::string("snapshots: [1]\n")), Catch::Contains("snapshots"));
  CHECK_THAT(message(kMixed + std::string("test_only_widths: [10]\n")), Catch::Contains("not among `widths`"));
  CHECK_THAT(message(kMixed + std::string("test_only_share: 0.5\n")), Catch::Contains("test_only_widths"));
  CHECK_THAT(message("dataset: d\nnetworks: 3\ndepth: 1\nwidth: 4\ntest_only_widths: [4]\n"),
             Catch::Contains("leave a shape"));

  const Dataset dataset = make_dataset();
  CHECK_THROWS_WITH(plan_population(make_config("diversity: {feature_subset: {keep: 0.5, at_least: 5}}\n"), dataset),
                    Catch::Contains("at most 4"));
}

TEST_CASE("the configurations that come with the program are valid", "[population]") {
  for (const char* name : {"adult_homogeneous", "adult_diverse", "adult_mixed", "synthetic"}) {
    INFO(name);
    const auto file =
        std::filesystem::path(AMEND_SOURCE_DIR) / "configs" / (std::string("population_") + name + ".yaml");
    PopulationConfig config;
    REQUIRE_NOTHROW(config = load_population_config(file));
    CHECK(std::filesystem::exists(config.dataset));
  }
}
