#include "metanet/train/population_plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "engine/error.hpp"

namespace amend {
namespace {

// The order of the numbers of PopulationDraw::settings; a new one goes to the end, or all populations change.
enum Setting : std::uint64_t { kActivation, kLearningRate, kWeightDecay, kEpochs, kDataFraction, kInitScale };

constexpr std::uint32_t kDraws = 8;  // room for PopulationDraw
// Editor training and the splits of the data use the user's seed as it is.
constexpr std::uint64_t kSeedSalt = 0x706F70756C617465;
// A step of PopulationDraw::settings beyond all shape attempts.
constexpr std::uint32_t kSettingsStep = 1u << 31;

double uniform(const RandomStream& stream, std::uint64_t index, const Range<double>& range) {
  return range.low + (range.high - range.low) * static_cast<double>(stream.uniform(index));
}

double log_uniform(const RandomStream& stream, std::uint64_t index, const Range<double>& range) {
  if (range.low == range.high) return range.low;  // 0 too
  return std::exp(uniform(stream, index, {std::log(range.low), std::log(range.high)}));
}

/// Hidden layers of a run that is not test-only.
std::vector<int> draw_shape(const PopulationConfig& config, int run) {
  const auto listed = static_cast<std::uint32_t>(config.widths.size());
  const bool free = config.depth.high > 0;
  for (std::uint32_t attempt = 0; attempt < kSettingsStep; ++attempt) {
    const RandomStream stream = run_stream(config.seed, run, PopulationDraw::settings, attempt);
    const std::uint32_t choice = stream.below(0, listed + (free ? 1 : 0));
    if (choice < listed) return config.widths[choice];
    const auto between = [&](std::uint64_t index, const Range<int>& range) {
      return range.low + static_cast<int>(stream.below(index, static_cast<std::uint32_t>(range.high - range.low + 1)));
    };
    std::vector<int> shape(static_cast<std::size_t>(between(1, config.depth)));
    for (std::size_t layer = 0; layer < shape.size(); ++layer) shape[layer] = between(2 + layer, config.width);
    if (std::find(config.test_only_widths.begin(), config.test_only_widths.end(), shape) ==
        config.test_only_widths.end())
      return shape;
  }
  fail("population", "found no shape that is not test-only");
}

std::vector<std::uint8_t> draw_features(const PopulationConfig& config, const Dataset& dataset, int run) {
  const std::size_t count = dataset.features.size();
  const RandomStream stream = run_stream(config.seed, run, PopulationDraw::features);
  std::vector<float> number(count);
  for (std::size_t f = 0; f < count; ++f) number[f] = stream.uniform(f);
  // Kept: those below the probability, and in any case the smallest `min_features`.
  std::vector<std::size_t> order(count);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return number[a] != number[b] ? number[a] < number[b] : a < b; });
  std::vector<std::uint8_t> uses(count, 0);
  for (std::size_t rank = 0; rank < count; ++rank)
    uses[order[rank]] = rank < static_cast<std::size_t>(config.diversity.min_features) ||
                        static_cast<double>(number[order[rank]]) < config.diversity.feature_keep;
  return uses;
}

void validate(const PopulationConfig& config, const Dataset& dataset) {
  const std::string file = config.file.string();
  const std::int64_t rows = dataset.subject_train.count;
  if (rows < 1 || rows > std::numeric_limits<std::int32_t>::max())
    fail_input(file + ": dataset", "expected rows in the split subject_train of `", dataset.name, "`, got ", rows);
  if (dataset.validation.count < 1)
    fail_input(file + ": dataset", "expected rows in the split validation of `", dataset.name, "`, got none");
  if (config.diversity.min_features > static_cast<int>(dataset.features.size()))
    fail_input(file + ": diversity.feature_subset.at_least", "expected at most ", dataset.features.size(),
               ", the number of features of `", dataset.name, "`, got ", config.diversity.min_features);
}

TrainingPlan plan_run(const PopulationConfig& config, const Dataset& dataset, int run) {
  TrainingPlan plan;
  plan.run = run;
  plan.name = fmt::format("run-{:04}", run);
  const RandomStream stream = run_stream(config.seed, run, PopulationDraw::settings, kSettingsStep);
  plan.activation =
      config.activations[stream.below(kActivation, static_cast<std::uint32_t>(config.activations.size()))];
  plan.learning_rate = log_uniform(stream, kLearningRate, config.learning_rate);
  plan.weight_decay = log_uniform(stream, kWeightDecay, config.weight_decay);
  plan.epochs = uniform(stream, kEpochs, config.epochs);
  plan.data_fraction = uniform(stream, kDataFraction, config.data_fraction);
  plan.init_scale = uniform(stream, kInitScale, config.init_scale);
  plan.uses_feature = draw_features(config, dataset, run);

  const RandomStream classes = run_stream(config.seed, run, PopulationDraw::class_weights);
  plan.class_weight.assign(static_cast<std::size_t>(dataset.classes), 1.0f);
  for (std::size_t c = 1; c < plan.class_weight.size(); ++c)
    plan.class_weight[c] = static_cast<float>(std::exp2(uniform(classes, c, config.diversity.class_weight_log2)));

  const auto available = static_cast<double>(dataset.subject_train.count);
  const double share = config.diversity.shift_strength > 0.0 ? config.diversity.shift_fraction : 1.0;
  plan.row_count = std::max<std::int64_t>(1, static_cast<std::int64_t>(plan.data_fraction * share * available));
  plan.steps = std::max(config.min_steps, static_cast<std::int64_t>(plan.epochs * static_cast<double>(plan.row_count) /
                                                                    config.batch_size));
  return plan;
}

}  // namespace

RandomStream run_stream(std::uint64_t seed, int run, PopulationDraw draw, std::uint32_t step) {
  return {seed ^ kSeedSalt, static_cast<std::uint32_t>(run) * kDraws + static_cast<std::uint32_t>(draw), step};
}

std::int64_t TrainingPlan::weight_count() const {
  std::int64_t count = 0;
  for (std::size_t layer = 1; layer < widths.size(); ++layer) count += std::int64_t{widths[layer - 1]} * widths[layer];
  return count;
}

nlohmann::json TrainingPlan::describe(const PopulationConfig& config, const Dataset& dataset) const {
  nlohmann::json features = nlohmann::json::array();
  for (std::size_t f = 0; f < uses_feature.size(); ++f)
    if (uses_feature[f]) features.push_back(dataset.features[f].name);
  return {{"learning_rate", learning_rate},
          {"weight_decay", weight_decay},
          {"epochs", epochs},
          {"steps", steps},
          {"batch_size", config.batch_size},
          {"rows", row_count},
          {"data_fraction", data_fraction},
          {"init_scale", init_scale},
          {"covariate_shift", config.diversity.shift_strength},
          {"class_weight", class_weight},
          {"features", std::move(features)},
          {"unseen_shape", unseen_shape}};
}

std::vector<PopulationSplit> assign_splits(const PopulationConfig& config, int count) {
  std::vector<PopulationSplit> split(static_cast<std::size_t>(count), PopulationSplit::train);
  std::int64_t tests = 0, validations = 0;
  for (int run = 0; run < count; ++run) {
    // The validation split is half a network ahead, lest both fall due with the last run and one goes short.
    const auto due = [&](double fraction, double ahead) {
      return static_cast<std::int64_t>(std::floor((run + 1) * fraction + ahead + 1e-9));
    };
    auto& target = split[static_cast<std::size_t>(run)];
    if (tests < due(config.split.test, 0.0)) {
      target = PopulationSplit::test;
      ++tests;
    } else if (validations < due(config.split.validation, 0.5)) {
      target = PopulationSplit::validation;
      ++validations;
    }
  }
  return split;
}

std::vector<TrainingPlan> plan_population(const PopulationConfig& config, const Dataset& dataset) {
  validate(config, dataset);
  const std::vector<PopulationSplit> split = assign_splits(config, config.networks);
  std::vector<TrainingPlan> plans;
  std::size_t tests = 0, unseen = 0;
  for (int run = 0; run < config.networks; ++run) {
    TrainingPlan plan = plan_run(config, dataset, run);
    plan.split = split[static_cast<std::size_t>(run)];
    std::vector<int> hidden;
    if (plan.split == PopulationSplit::test && !config.test_only_widths.empty()) {
      ++tests;
      plan.unseen_shape = static_cast<double>(unseen) + 0.5 < static_cast<double>(tests) * config.test_only_share;
    }
    if (plan.unseen_shape)
      hidden = config.test_only_widths[unseen++ % config.test_only_widths.size()];
    else
      hidden = draw_shape(config, run);
    plan.widths.push_back(dataset.inputs);
    plan.widths.insert(plan.widths.end(), hidden.begin(), hidden.end());
    plan.widths.push_back(dataset.classes);
    plans.push_back(std::move(plan));
  }
  return plans;
}

std::vector<std::int32_t> draw_rows(const PopulationConfig& config, const Dataset& dataset, const TrainingPlan& plan) {
  const auto rows = static_cast<std::size_t>(dataset.subject_train.count);
  const auto inputs = static_cast<std::size_t>(dataset.inputs);
  std::vector<double> score(rows, 0.0);  // log of the relative probability
  if (config.diversity.shift_strength > 0.0) {
    const RandomStream stream = run_stream(config.seed, plan.run, PopulationDraw::direction);
    std::vector<double> direction(inputs);
    for (std::size_t i = 0; i < inputs; ++i) direction[i] = static_cast<double>(stream.normal(i));
    double sum = 0.0, squares = 0.0;
    for (std::size_t r = 0; r < rows; ++r) {
      const float* const row = dataset.subject_train.input.data() + r * inputs;
      double dot = 0.0;
      for (std::size_t i = 0; i < inputs; ++i) dot += direction[i] * static_cast<double>(row[i]);
      score[r] = dot;
      sum += dot;
    }
    const double mean = sum / static_cast<double>(rows);
    for (const double dot : score) squares += (dot - mean) * (dot - mean);
    const double spread = std::sqrt(squares / static_cast<double>(rows)) + 1e-12;
    for (double& value : score) value = config.diversity.shift_strength * (value - mean) / spread;
  }
  // The largest of score + Gumbel noise are a sample without replacement with probabilities exp(score).
  const RandomStream stream = run_stream(config.seed, plan.run, PopulationDraw::rows);
  for (std::size_t r = 0; r < rows; ++r) score[r] -= std::log(-std::log(static_cast<double>(stream.uniform(r))));
  std::vector<std::int32_t> order(rows);
  std::iota(order.begin(), order.end(), 0);
  const auto count = static_cast<std::size_t>(plan.row_count);
  const auto before = [&](std::int32_t a, std::int32_t b) {
    const double key_a = score[static_cast<std::size_t>(a)], key_b = score[static_cast<std::size_t>(b)];
    return key_a != key_b ? key_a > key_b : a < b;
  };
  if (count < rows)
    std::nth_element(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(count), order.end(), before);
  order.resize(count);
  std::sort(order.begin(), order.end());
  return order;
}

SubjectNetwork initial_network(const PopulationConfig& config, const Dataset& dataset, const TrainingPlan& plan) {
  SubjectNetwork network;
  network.name = plan.name;
  network.run = plan.name;
  network.widths = plan.widths;
  network.activation = plan.activation;
  network.weights.resize(static_cast<std::size_t>(network.weight_count()));
  network.biases.assign(static_cast<std::size_t>(network.bias_count()), 0.0f);
  const RandomStream stream = run_stream(config.seed, plan.run, PopulationDraw::weights);
  const auto used = std::count(plan.uses_feature.begin(), plan.uses_feature.end(), std::uint8_t{1});
  std::size_t edge = 0;
  for (std::size_t layer = 0; layer + 1 < plan.widths.size(); ++layer) {
    const double fan_in = layer == 0 ? static_cast<double>(used) : plan.widths[layer];
    const auto deviation = static_cast<float>(plan.init_scale * std::sqrt(2.0 / fan_in));
    const auto end =
        edge + static_cast<std::size_t>(plan.widths[layer]) * static_cast<std::size_t>(plan.widths[layer + 1]);
    for (; edge < end; ++edge) network.weights[edge] = deviation * stream.normal(edge);
  }
  for (std::size_t f = 0; f < plan.uses_feature.size(); ++f) {
    if (plan.uses_feature[f]) continue;
    const Feature& feature = dataset.features[f];
    for (int target = 0; target < plan.widths[1]; ++target)
      std::fill_n(network.weights.begin() + std::ptrdiff_t{target} * dataset.inputs + feature.first_input,
                  feature.input_count, 0.0f);
  }
  return network;
}

}  // namespace amend
