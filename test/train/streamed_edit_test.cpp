#include "metanet/train/streamed_edit.hpp"

#include <catch2/catch.hpp>
#include <csignal>
#include <cstring>
#include <limits>
#include <stdexcept>

#include "metanet/graph/predict.hpp"
#include "metanet/train/interrupt.hpp"
#include "test/support/data_files.hpp"
#include "test/support/editor_setup.hpp"

namespace amend {
namespace {

/// Networks `chosen` of a population.
Population part_of(const Population& population, const std::vector<std::size_t>& chosen) {
  Population part = population;
  part.networks.clear();
  part.split.clear();
  part.attributes.clear();
  for (const std::size_t n : chosen) {
    part.networks.push_back(population.networks[n]);
    part.split.push_back(population.split[n]);
    part.attributes.push_back(population.attributes[n]);
  }
  return part;
}

/// Seven networks in a folder `in`, and an editor for them.
struct Setup {
  test::TemporaryFolder folder;
  Dataset dataset = test::small_dataset();
  TrainedEditor trained =
      test::small_editor({.requirements = {"pruning", "equalised_odds"}, .passes = 2}, dataset, DType::float32);
  BatchEditor editor{trained, dataset};
  Population population = test::small_population(dataset, 7);
  std::vector<double> lambda = test::spread_lambda(trained, 7);
  std::vector<std::size_t> all{0, 1, 2, 3, 4, 5, 6};
  std::filesystem::path weights = folder / "in/networks.safetensors";

  Setup() { save_population(population, folder / "in"); }

  EditBatch edit() {
    return [this](auto networks, auto weights_of) { return editor.edit(networks, weights_of); };
  }

  /// Streams `in` to `out`, with the condition that each network has in `lambda`.
  StreamedEdit stream(const std::vector<std::size_t>& chosen, int batch, const EditBatch& edit_batch) {
    const PopulationReader reader(folder / "in");
    const std::size_t width = trained.config.lambda.size();
    std::vector<double> of_chosen;
    for (const std::size_t n : chosen)
      for (std::size_t r = 0; r < width; ++r) of_chosen.push_back(lambda[n * width + r]);
    const Population outline = part_of(reader.outline(), chosen);
    PopulationWriter writer(outline, folder / "out");
    StreamedEdit result = edit_streamed(reader, chosen, of_chosen, batch, edit_batch, writer);
    if (result.complete) writer.commit();
    return result;
  }

  std::string bytes(const std::string& name) const { return test::read_bytes(folder / name); }
};

}  // namespace

TEST_CASE("a streamed edit writes the bytes and reports the numbers of an edit in memory, whatever the batch") {
  Setup setup;
  const auto chosen = GENERATE(std::vector<std::size_t>{0, 1, 2, 3, 4, 5, 6}, std::vector<std::size_t>{2, 5, 6});
  const auto results = setup.editor.edit(pointers_to(setup.population.networks), setup.lambda);
  Population edited = setup.population;
  for (std::size_t n = 0; n < 7; ++n) edited.networks[n] = results[n].network;
  save_population(part_of(edited, chosen), setup.folder / "whole");
  REQUIRE(setup.bytes("whole/networks.safetensors") != setup.bytes("in/networks.safetensors"));
  for (const int batch : {1, 3, 7, 64}) {
    CAPTURE(chosen, batch);
    const StreamedEdit streamed = setup.stream(chosen, batch, setup.edit());
    CHECK(streamed.complete);
    CHECK((setup.bytes("out/networks.safetensors") == setup.bytes("whole/networks.safetensors")));
    CHECK((setup.bytes("out/manifest.json") == setup.bytes("whole/manifest.json")));
    REQUIRE(streamed.edits.size() == chosen.size());
    for (std::size_t i = 0; i < chosen.size(); ++i) {
      CHECK(streamed.edits[i].name == results[chosen[i]].network.name);
      CHECK(streamed.edits[i].nonzero_share == results[chosen[i]].nonzero_share);
      CHECK(streamed.edits[i].features == results[chosen[i]].features);
    }
  }
}

TEST_CASE("a streamed edit that fails in reading, editing or writing leaves what was there") {
  Setup setup;
  save_population(part_of(setup.population, {3}), setup.folder / "out");
  const std::string before = setup.bytes("out/networks.safetensors"), manifest = setup.bytes("out/manifest.json");
  const int batch = GENERATE(1, 3, 7);
  CAPTURE(batch);

  SECTION("the last network holds a NaN") {
    std::string bytes = setup.bytes("in/networks.safetensors");
    const float nan = std::numeric_limits<float>::quiet_NaN();
    std::memcpy(bytes.data() + bytes.size() - sizeof nan, &nan, sizeof nan);
    test::write_bytes(setup.weights, bytes);
    const SubjectNetwork& last = setup.population.networks[6];
    CHECK(test::input_error([&] { setup.stream(setup.all, batch, setup.edit()); }) ==
          setup.weights.string() + ": tensor \"" + last.name + "." + std::to_string(last.layers() - 1) +
              ".bias\": expected finite numbers within float32, got nan at element 1");
  }
  SECTION("the file of weights is cut short") {
    std::filesystem::resize_file(setup.weights, std::filesystem::file_size(setup.weights) - 1);
    CHECK_THAT(test::input_error([&] { setup.stream(setup.all, batch, setup.edit()); }),
               Catch::StartsWith(setup.weights.string()) && Catch::Contains("truncated"));
  }
  SECTION("the edit of a later batch fails") {
    int calls = 0;
    CHECK_THROWS_WITH(setup.stream(setup.all, batch,
                                   [&](auto networks, auto lambda) {
                                     if (++calls == (7 + batch - 1) / batch) throw std::runtime_error("no edit");
                                     return setup.editor.edit(networks, lambda);
                                   }),
                      "no edit");
  }
  SECTION("the disk is full before the last network") {
    const test::FileSizeLimit limit(std::filesystem::file_size(setup.weights) - 8);
    CHECK_THAT(test::input_error([&] { setup.stream(setup.all, batch, setup.edit()); }),
               Catch::StartsWith((setup.folder / "out").string()) && Catch::Contains("cannot be written"));
  }
  CHECK((setup.bytes("out/networks.safetensors") == before));
  CHECK((setup.bytes("out/manifest.json") == manifest));
  CHECK(setup.folder.entries() == 2);
}

TEST_CASE("SIGINT ends a streamed edit after the batch under way, and nothing is written") {
  Setup setup;
  const InterruptScope scope;
  int calls = 0;
  const StreamedEdit streamed = setup.stream(setup.all, 2, [&](auto networks, auto lambda) {
    if (++calls == 2) std::raise(SIGINT);
    return setup.editor.edit(networks, lambda);
  });
  CHECK_FALSE(streamed.complete);
  CHECK(streamed.edits.size() == 4);
  CHECK(calls == 2);
  CHECK(setup.folder.entries() == 1);
}

TEST_CASE("SIGINT during the last batch of a streamed edit counts, too") {
  Setup setup;
  const InterruptScope scope;
  CHECK_FALSE(setup
                  .stream(setup.all, 7,
                          [&](auto networks, auto lambda) {
                            std::raise(SIGINT);
                            return setup.editor.edit(networks, lambda);
                          })
                  .complete);
  CHECK(setup.folder.entries() == 1);
}

}  // namespace amend
