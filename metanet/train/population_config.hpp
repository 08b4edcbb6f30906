#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "metanet/data/config.hpp"
#include "metanet/data/subject_network.hpp"

namespace amend {

/// What a population is trained from. Every range is drawn from per network; `docs/population.md` describes the keys.
struct PopulationConfig {
  std::filesystem::path file;     // for messages
  std::string text;               // the document, for the provenance
  std::filesystem::path dataset;  // the description; relative paths in the file count from the file's folder
  std::uint64_t seed = 1;
  int networks = 400;  // training runs; each gives one network and one more per snapshot

  struct Split {
    double train = 0.7, validation = 0.1, test = 0.2;
  } split;

  std::vector<std::vector<int>> widths;  // hidden layers to draw from
  Range<int> depth{0, 0};                // hidden layers of a free shape; {0, 0}: no free shapes
  Range<int> width{0, 0};                // of each of its layers
  std::vector<std::vector<int>> test_only_widths;
  double test_only_share = 0.5;  // of the test split, when there are test-only widths
  std::vector<Activation> activations{Activation::relu};

  Range<double> learning_rate{5e-4, 1.26e-2};  // log-uniform
  Range<double> weight_decay{1e-4, 5e-2};      // log-uniform
  Range<double> epochs{4.0, 25.0};
  std::int64_t min_steps = 250;
  int batch_size = 128;
  Range<double> data_fraction{0.25, 1.0};
  Range<double> init_scale{0.6, 1.4};
  std::vector<double> snapshots;  // fractions of the training, ascending, in (0, 1)

  struct Diversity {
    double feature_keep = 1.0;  // probability
    int min_features = 1;
    double shift_strength = 0.0;
    double shift_fraction = 0.5;                // of the rows that data_fraction gives; used when strength > 0
    Range<double> class_weight_log2{0.0, 0.0};  // of every class but the first, whose weight is 1
  } diversity;
};

/// Reads and validates a population configuration. Throws InputError that names file and key.
PopulationConfig load_population_config(const std::filesystem::path& file);
/// The same from text; `name` stands for the file.
PopulationConfig parse_population_config(const std::string& text, const std::string& name);

/// `32-16`.
std::string shape_text(const std::vector<int>& hidden);

}  // namespace amend
