#include "metanet/train/checkpoint.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>

#include "engine/error.hpp"
#include "metanet/data/json_reader.hpp"
#include "metanet/data/safetensors.hpp"

namespace amend {
namespace {

std::int64_t parse_whole(const std::string& text, const std::string& where) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size())
    fail_input(where, "expected a whole number, got ", in_quotes(text));
  return value;
}

/// Decimal or, as it is written, hexadecimal.
double parse_finite(const std::string& text, const std::string& where) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (text.empty() || end != text.c_str() + text.size() || !std::isfinite(value))
    fail_input(where, "expected a finite number, got ", in_quotes(text));
  return value;
}

}  // namespace

void save_checkpoint(const TrainingState& state, const std::filesystem::path& file) {
  SafetensorsFile contents;
  for (const auto& [name, view] : state.tensors)
    contents.tensors.push_back(
        make_float_tensor(name, {view.count()}, {view.as<float>(), static_cast<std::size_t>(view.count())}));
  contents.metadata = {{"amend.checkpoint", "1"},
                       {"config", state.config},
                       {"dataset", state.dataset},
                       {"networks", state.networks},
                       {"step", std::to_string(state.step)},
                       {"best_step", std::to_string(state.best_step)},
                       {"best_score", detail::join(std::hexfloat, state.best_score)}};
  save_safetensors(file, contents);
}

void load_checkpoint(const std::filesystem::path& file, std::int64_t steps, std::int64_t first_validation,
                     TrainingState& state) {
  const SafetensorsFile contents = load_safetensors(file);
  const std::string where = file.string();
  const auto text = [&](const char* key) {
    const auto found = contents.metadata.find(key);
    if (found == contents.metadata.end()) fail_input(where, "this is not a checkpoint: the key `", key, "` is missing");
    return found->second;
  };
  if (text("amend.checkpoint") != "1")
    fail_input(where, "expected version 1 of a checkpoint, got ", in_quotes(text("amend.checkpoint")));
  if (text("config") != state.config) fail_input(where, "the checkpoint was written with another configuration");
  if (text("dataset") != state.dataset) fail_input(where, "the checkpoint was written with other data");
  if (text("networks") != state.networks) fail_input(where, "the checkpoint was written with another population");
  state.step = parse_whole(text("step"), where + ": step");
  state.best_step = parse_whole(text("best_step"), where + ": best_step");
  state.best_score = parse_finite(text("best_score"), where + ": best_score");
  if (state.step < 0 || state.step > steps)
    fail_input(where, "step ", state.step, " lies outside the training of ", steps);
  const bool validated = state.step >= first_validation;
  if (validated ? state.best_step < first_validation || state.best_step > state.step : state.best_step != -1)
    fail_input(where, "best_step ", state.best_step, " is no step at which a training at step ", state.step,
               " can have been best");
  for (const auto& [name, view] : state.tensors) {
    const SafetensorsTensor* tensor = contents.find(name);
    if (!tensor || tensor->shape != std::vector<std::int64_t>{view.count()})
      fail_input(where, "expected a tensor `", name, "` of ", view.count(), " numbers");
    const std::vector<float> values = read_floats(*tensor, where);
    std::copy(values.begin(), values.end(), view.as<float>());
  }
}

}  // namespace amend
