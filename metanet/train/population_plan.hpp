#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/random.hpp"
#include "metanet/data/dataset.hpp"
#include "metanet/data/population.hpp"
#include "metanet/data/subject_network.hpp"
#include "metanet/train/population_config.hpp"

namespace amend {

/// What the random numbers of a training run are for; each purpose is a sequence of its own.
enum class PopulationDraw : std::uint32_t { settings, features, class_weights, direction, rows, weights, batches };

/// The random numbers of one run. They depend on seed and index of the run alone: a network has the same bits whatever
/// else is trained, in whatever order.
RandomStream run_stream(std::uint64_t seed, int run, PopulationDraw draw, std::uint32_t step = 0);

/// One training run: everything that is drawn for it before it starts.
struct TrainingPlan {
  int run = 0;
  std::string name;  // `run-0012`
  PopulationSplit split = PopulationSplit::train;
  bool unseen_shape = false;  // a test-only one
  std::vector<int> widths;    // inputs, hidden ..., outputs
  Activation activation = Activation::relu;
  double learning_rate = 0.0, weight_decay = 0.0, epochs = 0.0, data_fraction = 0.0, init_scale = 0.0;
  std::vector<std::uint8_t> uses_feature;  // per feature of the dataset
  std::vector<float> class_weight;         // per class
  std::int64_t row_count = 0;              // of subject_train
  std::int64_t steps = 0;

  std::int64_t weight_count() const;
  /// The settings as they are kept with the network.
  nlohmann::json describe(const PopulationConfig& config, const Dataset& dataset) const;
};

/// Splits of runs 0 .. count - 1, spread evenly, so that every prefix has the fractions too. Runs are alike but for
/// their random numbers, therefore the index may decide.
std::vector<PopulationSplit> assign_splits(const PopulationConfig& config, int count);

/// Plans of all runs. Throws InputError naming the configuration when it asks for what the dataset does not have.
std::vector<TrainingPlan> plan_population(const PopulationConfig& config, const Dataset& dataset);

/// The rows of subject_train that the run trains on, ascending: a uniform sample without replacement, or with covariate
/// shift one with probabilities proportional to exp(strength * s), s the standardised projection of the row on a random
/// direction.
std::vector<std::int32_t> draw_rows(const PopulationConfig& config, const Dataset& dataset, const TrainingPlan& plan);

/// The untrained network: He's initialisation, standard deviation init_scale * sqrt(2 / fan_in), biases 0. The fan-in
/// of the first layer counts features, not inputs: of the inputs of a one-hot feature one is not zero. Weights from the
/// inputs of unused features are 0. He et al., *Delving deep into rectifiers*, ICCV 2015.
SubjectNetwork initial_network(const PopulationConfig& config, const Dataset& dataset, const TrainingPlan& plan);

}  // namespace amend
