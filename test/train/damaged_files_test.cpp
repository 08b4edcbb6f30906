// Editor files and checkpoints come from outside: whatever happens to their bytes, reading ends well or with an
// InputError.

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstring>

#include "engine/random.hpp"
#include "metanet/train/batch_editor.hpp"
#include "metanet/train/checkpoint.hpp"
#include "requirements/registry.hpp"
#include "test/support/data_files.hpp"
#include "test/support/editor_setup.hpp"

namespace amend {
namespace {

/// How many damaged copies were read all the same, and how many refused.
struct Outcome {
  int read = 0, refused = 0;
};

/// Cuts or changes bytes of `file` again and again and calls `read(true)` when the numbers are whole, so that what is
/// read must be what was written.
template <class Read>
Outcome damage(const std::filesystem::path& file, std::uint32_t rounds, const Read& read) {
  const std::string whole = test::read_bytes(file);
  std::uint64_t header = 0;
  std::memcpy(&header, whole.data(), sizeof header);
  const std::size_t numbers = sizeof header + header;
  Outcome outcome;
  for (std::uint32_t round = 0; round < rounds; ++round) {
    const RandomStream random(2025, 1, round);
    std::string bytes = whole;
    // Most of them in the header: numbers may have any bytes.
    const std::size_t end = round % 4 == 0 ? whole.size() : numbers;
    for (std::uint32_t change = 0; change < 1 + round % 3; ++change) {
      const std::uint32_t position = random.below(3 * change, static_cast<std::uint32_t>(end));
      bytes[position] = random.below(3 * change + 1, 2) == 0
                            ? static_cast<char>(random.below(3 * change + 2, 256))
                            : "0123456789,:[]{}\"-.e"[random.below(3 * change + 2, 20)];
    }
    const bool same_numbers = bytes.substr(numbers) == whole.substr(numbers);
    if (round % 16 == 0) bytes.resize(random.below(100, static_cast<std::uint32_t>(bytes.size())));
    test::write_bytes(file, bytes);
    try {
      read(same_numbers);
      ++outcome.read;
    } catch (const InputError&) {
      ++outcome.refused;
    }
  }
  return outcome;
}

TEST_CASE("random damage to an editor file: it edits, or is an input error") {
  const Dataset dataset = test::small_dataset();
  const test::TemporaryFolder folder;
  const std::filesystem::path file = folder / "editor.safetensors";
  const TrainedEditor written =
      test::small_editor({.requirements = {"pruning", "equalised_odds"}, .passes = 2}, dataset, DType::float32);
  save_editor(written, file);
  const Outcome outcome = damage(file, 1200, [&](bool same_numbers) {
    TrainedEditor read = load_editor(file, make_requirements, Device::cpu());
    if (same_numbers && !test::same_bits(read.editor->parameters().value(), written.editor->parameters().value()))
      FAIL("other numbers");
    BatchEditor editor(read, dataset);
  });
  CAPTURE(outcome.read, outcome.refused);
  CHECK(outcome.read > 100);
  CHECK(outcome.refused > 400);
}

TEST_CASE("random damage to a checkpoint: it is read, or is an input error") {
  const test::TemporaryFolder folder;
  const std::filesystem::path file = folder / "editor.checkpoint";
  const std::vector<float> written{0.1f, -0.2f, 0.3f, 0.4f, 0.5f, 0.6f};
  std::vector<float> value = written;
  const auto state = [&] {
    return TrainingState{.config = "requirements: {pruning: {}}\n",
                         .dataset = "0123456789abcdef",
                         .networks = "fedcba9876543210",
                         .step = 25,
                         .best_step = 20,
                         .best_score = 0.1,
                         .tensors = {{"value", {value.data(), {6}, DType::float32, Device::cpu()}}}};
  };
  save_checkpoint(state(), file);
  const Outcome outcome = damage(file, 4000, [&](bool same_numbers) {
    value.assign(6, 0.0f);
    TrainingState read = state();
    load_checkpoint(file, 40, 10, read);
    if (read.step < 10 || read.step > 40 || read.best_step < 10 || read.best_step > read.step) FAIL(read.step);
    if (same_numbers && value != written) FAIL("other numbers");
  });
  CAPTURE(outcome.read, outcome.refused);
  CHECK(outcome.read > 40);
  CHECK(outcome.refused > 2000);
}

}  // namespace
}  // namespace amend
