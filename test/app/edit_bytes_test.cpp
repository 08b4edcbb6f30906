// `amend edit` writes the same bytes whatever the batch and the number of threads.
#include <catch2/catch.hpp>

#include "test/support/command_run.hpp"
#include "test/support/data_files.hpp"

using namespace amend;
using namespace amend::test;

namespace {

constexpr char kPopulation[] = R"(dataset: data.yaml
networks: 11
split: {train: 0.5, validation: 0.25, test: 0.25}
widths: [8, 6-4, 5-3-4]
activations: [relu, tanh]
epochs: [1, 2]
min_steps: 20
)";
constexpr char kEditor[] = R"(requirements: {pruning: {}, data_minimisation: {}, equalised_odds: {}}
editor: {node_width: 8, edge_width: 8, messages: 1, passes: 3, refine_width: 4}
training: {steps: 4, batch: 4, rows: 64, cell_rows: 16, probe_rows: 64, probe_cell_rows: 16, edit_probe_rows: 100,
           edit_probe_cell_rows: 30, warmup: 1, validations: 1, validation_rows: 100}
)";

}  // namespace

TEST_CASE("an edited population has the same bytes for any batch and number of threads", "[cli][slow]") {
  const TemporaryFolder folder;
  const auto path = [&](const std::string& name) { return (folder / name).string(); };
  write_bytes(folder / "data.yaml", "name: tiny\nsynthetic: {rows: 2000, seed: 3}\n");
  write_bytes(folder / "population.yaml", kPopulation);
  write_bytes(folder / "editor.yaml", kEditor);
  REQUIRE(amend_command({"population", "train", path("population.yaml"), "--out", path("pop")}).code == kSuccess);
  REQUIRE(amend_command({"editor", "train", path("editor.yaml"), "--population", path("pop"), "--out",
                         path("editor.safetensors")})
              .code == kSuccess);
  const auto edit = [&](const std::string& batch, const std::string& threads) {
    const std::string out = "edited-" + batch + "-" + threads;
    const CommandRun run = amend_command({"edit", path("pop"), "--editor", path("editor.safetensors"), "--condition",
                                          "pruning=0.5,data_minimisation=0.3,equalised_odds=0.5", "--batch", batch,
                                          "--threads", threads, "--out", path(out)});
    INFO(run.err);
    REQUIRE(run.code == kSuccess);
    return out;
  };
  const std::string first = edit("64", "2");
  const std::string networks = read_bytes(folder / (first + "/networks.safetensors")),
                    manifest = read_bytes(folder / (first + "/manifest.json"));
  REQUIRE(networks.size() > 1000);
  CHECK(networks != read_bytes(folder / "pop/networks.safetensors"));
  for (const auto& [batch, threads] :
       {std::pair{"1", "1"}, std::pair{"1", "2"}, std::pair{"64", "1"}, std::pair{"3", "2"}}) {
    CAPTURE(batch, threads);
    const std::string other = edit(batch, threads);
    CHECK((read_bytes(folder / (other + "/networks.safetensors")) == networks));
    CHECK((read_bytes(folder / (other + "/manifest.json")) == manifest));
  }
  const CommandRun rounded = amend_command({"edit", path("pop"), "--editor", path("editor.safetensors"), "--condition",
                                            "pruning=0.5,data_minimisation=0.3,equalised_odds=0.5", "--precision",
                                            "bf16", "--out", path("rounded")});
  REQUIRE(rounded.code == kSuccess);
  CHECK((read_bytes(folder / "rounded/networks.safetensors") != networks));
  CHECK(read_bytes(folder / "rounded/manifest.json").find("\"bf16\"") != std::string::npos);
}
