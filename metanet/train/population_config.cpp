#include "metanet/train/population_config.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "engine/error.hpp"

namespace amend {
namespace {

constexpr int kMaxWidth = 4096;
constexpr int kMaxDepth = 16;

/// `32-16` -> {32, 16}.
std::vector<int> parse_shape(const std::string& text, const std::string& where) {
  std::vector<int> shape;
  const char* at = text.data();
  const char* const end = at + text.size();
  for (;;) {
    int width = 0;
    const auto [next, error] = std::from_chars(at, end, width);
    if (error != std::errc() || width < 1 || width > kMaxWidth || static_cast<int>(shape.size()) == kMaxDepth ||
        (next != end && *next != '-'))
      fail_input(where, "expected the widths of the hidden layers such as 32-16 (1 to ", kMaxDepth,
                 " layers, widths 1 to ", kMaxWidth, "), got `", text, "`");
    shape.push_back(width);
    if (next == end) return shape;
    at = next + 1;
  }
}

std::vector<std::vector<int>> parse_shapes(const Config& config, const char* key) {
  std::vector<std::vector<int>> shapes;
  for (const std::string& text : config.list<std::string>(key)) {
    const std::string where = config.where(key) + '[' + std::to_string(shapes.size()) + ']';
    shapes.push_back(parse_shape(text, where));
    if (std::find(shapes.begin(), shapes.end() - 1, shapes.back()) != shapes.end() - 1)
      fail_input(where, "expected every shape once, got `", text, "` again");
  }
  if (config.has(key) && shapes.empty()) config.fail_at(key, "expected at least one shape such as 32-16");
  return shapes;
}

void read_shapes(const Config& config, PopulationConfig& result) {
  result.widths = parse_shapes(config, "widths");
  if (config.has("depth") != config.has("width"))
    config.fail_at(config.has("depth") ? "width" : "depth", "missing; free shapes need both `depth` and `width`");
  result.depth = config.get_range<int>("depth", {0, 0}, between(1, kMaxDepth));
  result.width = config.get_range<int>("width", {0, 0}, between(1, kMaxWidth));
  if (result.widths.empty() && result.depth.high == 0)
    config.fail_at("widths", "missing; expected shapes such as [32-16, 24], or the ranges `depth` and `width`");

  result.test_only_widths = parse_shapes(config, "test_only_widths");
  result.test_only_share =
      config.get<double>("test_only_share", 0.5, Bounds{.low = 0.0, .high = 1.0, .low_excluded = true});
  if (result.test_only_widths.empty() && config.has("test_only_share"))
    config.fail_at("test_only_share", "needs `test_only_widths`");
  if (!result.test_only_widths.empty() && result.split.test == 0.0)
    config.fail_at("test_only_widths", "needs a test split; `split.test` is 0");
  for (const auto& shape : result.test_only_widths)
    if (std::find(result.widths.begin(), result.widths.end(), shape) != result.widths.end())
      config.fail_at("test_only_widths",
                     "expected shapes that are not among `widths`, got `" + shape_text(shape) + "`");

  // Free shapes skip the test-only ones, so there must be one that is left.
  if (result.depth.high > 0 && result.width.low == result.width.high) {
    const auto reserved = std::count_if(
        result.test_only_widths.begin(), result.test_only_widths.end(), [&](const std::vector<int>& shape) {
          const int depth = static_cast<int>(shape.size());
          return depth >= result.depth.low && depth <= result.depth.high &&
                 std::all_of(shape.begin(), shape.end(), [&](int width) { return width == result.width.low; });
        });
    if (reserved > result.depth.high - result.depth.low)
      config.fail_at("test_only_widths", "expected to leave a shape of `depth` and `width` for training");
  }
}

void read_split(const Config& root, PopulationConfig& result) {
  const Config config = root.child("split");
  config.allow_only({"train", "validation", "test"});
  auto& split = result.split;
  if (config.keys().empty()) return;
  split.train = config.require<double>("train", Bounds{.low = 0.0, .high = 1.0, .low_excluded = true});
  split.validation = config.get<double>("validation", 0.0, between(0.0, 1.0));
  split.test = config.get<double>("test", 0.0, between(0.0, 1.0));
  const double sum = split.train + split.validation + split.test;
  if (std::abs(sum - 1.0) > 1e-6)
    root.fail_at("split", "expected fractions of the networks that add up to 1, got " + std::to_string(sum));
}

void read_diversity(const Config& root, PopulationConfig& result) {
  const Config config = root.child("diversity");
  config.allow_only({"feature_subset", "covariate_shift", "class_weight_log2"});
  auto& diversity = result.diversity;

  const Config subset = config.child("feature_subset");
  subset.allow_only({"keep", "at_least"});
  if (config.has("feature_subset")) {
    diversity.feature_keep = subset.require<double>("keep", Bounds{.low = 0.0, .high = 1.0, .low_excluded = true});
    diversity.min_features = subset.get<int>("at_least", 1, at_least(1));
  }

  const Config shift = config.child("covariate_shift");
  shift.allow_only({"strength", "fraction"});
  if (config.has("covariate_shift")) {
    diversity.shift_strength = shift.require<double>("strength", between(0.0, 10.0));
    diversity.shift_fraction =
        shift.get<double>("fraction", 0.5, Bounds{.low = 0.0, .high = 1.0, .low_excluded = true});
  }

  diversity.class_weight_log2 = config.get_range<double>("class_weight_log2", {0.0, 0.0}, between(-10.0, 10.0));
}

PopulationConfig read_population(const Config& config) {
  config.allow_only({"dataset", "seed", "networks", "split", "widths", "depth", "width", "test_only_widths",
                     "test_only_share", "activations", "learning_rate", "weight_decay", "epochs", "min_steps",
                     "batch_size", "data_fraction", "init_scale", "snapshots", "diversity"});
  PopulationConfig result;
  result.file = config.file();
  result.text = config.text();
  result.dataset = (config.file().parent_path() / config.require<std::string>("dataset")).lexically_normal();
  result.seed = config.get<std::uint64_t>("seed", result.seed);
  result.networks = config.require<int>("networks", between(1, 1'000'000));
  read_split(config, result);
  read_shapes(config, result);

  result.activations.clear();
  for (const std::string& name : config.list<std::string>("activations", {"relu"}))
    result.activations.push_back(parse_activation(name, config.where("activations")));
  if (result.activations.empty()) config.fail_at("activations", "expected at least one of relu, tanh, silu, sigmoid");

  result.learning_rate = config.get_range<double>("learning_rate", result.learning_rate,
                                                  Bounds{.low = 0.0, .high = 1.0, .low_excluded = true});
  // Drawn log-uniformly unless both ends are 0.
  result.weight_decay = config.get_range<double>("weight_decay", result.weight_decay, between(0.0, 10.0));
  if (result.weight_decay.low == 0.0 && result.weight_decay.high > 0.0)
    config.fail_at("weight_decay", "expected a range above 0 (it is drawn log-uniformly), or 0 alone for none");
  result.epochs =
      config.get_range<double>("epochs", result.epochs, Bounds{.low = 0.0, .high = 1e5, .low_excluded = true});
  result.min_steps = config.get<std::int64_t>("min_steps", result.min_steps, between(1, 1e9));
  result.batch_size = config.get<int>("batch_size", result.batch_size, between(1, 65536));
  const Bounds share{.low = 0.0, .high = 1.0, .low_excluded = true};
  result.data_fraction = config.get_range<double>("data_fraction", result.data_fraction, share);
  result.init_scale = config.get_range<double>("init_scale", result.init_scale,
                                               Bounds{.low = 0.0, .high = 100.0, .low_excluded = true});

  Bounds inside = share;
  inside.high_excluded = true;
  result.snapshots = config.list<double>("snapshots", {}, inside);
  if (std::adjacent_find(result.snapshots.begin(), result.snapshots.end(), std::greater_equal<>()) !=
      result.snapshots.end())
    config.fail_at("snapshots", "expected ascending fractions of the training, each once");

  read_diversity(config, result);
  return result;
}

}  // namespace

PopulationConfig load_population_config(const std::filesystem::path& file) {
  return read_population(Config::load(file));
}

PopulationConfig parse_population_config(const std::string& text, const std::string& name) {
  return read_population(Config::parse(text, name));
}

std::string shape_text(const std::vector<int>& hidden) {
  std::string text;
  for (const int width : hidden) {
    if (!text.empty()) text += '-';
    text += std::to_string(width);
  }
  return text;
}

}  // namespace amend
