#include "metanet/train/checkpoint.hpp"

#include <catch2/catch.hpp>

#include "metanet/data/safetensors.hpp"
#include "test/support/data_files.hpp"

namespace amend {
namespace {

using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;

/// The state of a training of 40 steps that validates every 10, and the memory of its tensors.
struct Training {
  std::vector<float> value{1, 2, 3, 4, 5}, best{6, 7, 8, 9, 10};
  TrainingState state;

  Training() {
    state = {.config = "requirements: {pruning: {}}\n",
             .dataset = "0123",
             .networks = "4567",
             .step = 25,
             .best_step = 20,
             .best_score = 0.1};
    for (auto& [name, numbers] : {std::pair<std::string, std::vector<float>*>{"value", &value}, {"best", &best}})
      state.tensors.emplace_back(name, TensorView{numbers->data(), {5}, DType::float32, Device::cpu()});
  }
};

void load(const std::filesystem::path& file, TrainingState& state) { load_checkpoint(file, 40, 10, state); }

TEST_CASE("a checkpoint is read as it was written") {
  const test::TemporaryFolder folder;
  const Training written;
  save_checkpoint(written.state, folder / "c");
  Training read;
  read.state.step = read.state.best_step = 0;
  read.state.best_score = 1.0;
  read.value.assign(5, 0.0f);
  read.best.assign(5, 0.0f);
  load(folder / "c", read.state);
  CHECK(read.state.step == 25);
  CHECK(read.state.best_step == 20);
  CHECK(read.state.best_score == 0.1);
  CHECK(read.value == written.value);
  CHECK(read.best == written.best);
}

TEST_CASE("a checkpoint that contradicts itself is refused") {
  const test::TemporaryFolder folder;
  const std::filesystem::path file = folder / "c";
  save_checkpoint(Training().state, file);
  const SafetensorsFile contents = load_safetensors(file);
  const auto error = [&](const std::map<std::string, std::string>& change) {
    SafetensorsFile other = contents;
    for (const auto& [key, text] : change) other.metadata[key] = text;
    save_safetensors(file, other);
    Training read;
    const std::string message = test::input_error([&] { load(file, read.state); });
    CHECK((message.empty() || message.starts_with(file.string())));
    return message;
  };
  CHECK(error({}).empty());
  CHECK(error({{"step", "40"}}).empty());
  CHECK(error({{"step", "9"}, {"best_step", "-1"}}).empty());
  CHECK(error({{"step", "0"}, {"best_step", "-1"}}).empty());
  CHECK(error({{"best_score", "0.25"}}).empty());
  for (const char* score : {"nan", "inf", "-inf", "", "0.1x", "1e999"})
    CHECK_THAT(error({{"best_score", score}}), Contains("best_score: expected a finite number"));
  for (const char* best : {"-1", "-2", "0", "9", "26"}) CHECK_THAT(error({{"best_step", best}}), Contains("best_step"));
  CHECK_THAT(error({{"step", "9"}, {"best_step", "9"}}), Contains("best_step"));
  for (const char* step : {"-1", "41", "5x", "", "99999999999999999999"})
    CHECK_THAT(error({{"step", step}}), Contains("step"));
  CHECK_THAT(error({{"amend.checkpoint", "2"}}), Contains("expected version 1"));
  CHECK_THAT(error({{"config", "other"}}), Contains("another configuration"));
  CHECK_THAT(error({{"dataset", "other"}}), Contains("other data"));
  CHECK_THAT(error({{"networks", "other"}}), Contains("another population"));
}

}  // namespace
}  // namespace amend
