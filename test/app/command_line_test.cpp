#include <catch2/catch.hpp>
#include <string>

#include "app/embedded_configs.hpp"
#include "metanet/data/config.hpp"
#include "metanet/train/editor_config.hpp"
#include "metanet/train/population_config.hpp"
#include "test/support/command_run.hpp"
#include "test/support/data_files.hpp"

using namespace amend;
using namespace amend::test;
using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;

namespace {

/// A mistake: exit code 2, nothing on stdout, one message.
void check_mistake(const CommandRun& run, const std::string& message) {
  CHECK(run.code == kUserError);
  CHECK(run.out.empty());
  CHECK_THAT(run.err, StartsWith("amend: ") && Contains(message));
  CHECK(run.err.find('\n') == run.err.size() - 1);
}

}  // namespace

TEST_CASE("help and version go to stdout", "[cli]") {
  const CommandRun help = amend_command({"--help"});
  CHECK(help.code == kSuccess);
  CHECK(help.err.empty());
  for (const char* text : {"demo", "population", "editor", "edit", "audit", "info", "Exit codes"})
    CHECK_THAT(help.out, Contains(text));
  const CommandRun version_run = amend_command({"--version"});
  CHECK(version_run.code == kSuccess);
  CHECK(version_run.out == std::string("amend ") + version() + "\n");
}

TEST_CASE("every command has help with examples", "[cli]") {
  for (const CommandRun& run : {amend_command({"demo", "--help"}), amend_command({"population", "train", "--help"}),
                                amend_command({"editor", "train", "--help"}), amend_command({"edit", "--help"}),
                                amend_command({"audit", "--help"}), amend_command({"info", "--help"})}) {
    CHECK(run.code == kSuccess);
    CHECK_THAT(run.out, Contains("Examples:\n  amend ") && Contains("--json"));
  }
}

TEST_CASE("unknown commands and options name the nearest", "[cli]") {
  check_mistake(amend_command({"edti", "x"}), "unknown command `edti`; did you mean `edit`?");
  check_mistake(amend_command({"population", "tarin"}),
                "`amend population`: unknown command `tarin`; did you mean `train`?");
  check_mistake(amend_command({"edit", "pop", "--conditon", "pruning=1"}), "did you mean `--condition`?");
  check_mistake(amend_command({"--verson"}), "did you mean `--version`?");
  check_mistake(amend_command({"audit", "a", "b", "--max-equalized-odds=0.1"}), "did you mean `--max-equalised-odds`?");
}

TEST_CASE("what is missing or malformed is said", "[cli]") {
  check_mistake(amend_command({}), "--help");
  check_mistake(amend_command({"population"}), "amend population --help");
  check_mistake(amend_command({"edit", "pop", "--editor", "e"}), "--out is required");
  check_mistake(amend_command({"edit", "a", "--editor", "e", "--out", "o", "--batch", "none"}), "--batch");
  check_mistake(amend_command({"edit", "a", "--editor", "e", "--out", "o", "--threads", "0"}), "--threads");
  check_mistake(amend_command({"audit", "a", "b", "--max-divergence", "-1"}), "--max-divergence");
  check_mistake(amend_command({"info", "a", "b"}), "b");
  check_mistake(amend_command({"edit", "a", "--editor", "e", "--condition", "pruning=1", "neurons=1", "--out", "o"}),
                "separate a list by commas");
}

TEST_CASE("files that are not there or not what they should be are mistakes", "[cli]") {
  const TemporaryFolder folder;
  const std::string missing = folder / "missing", file = folder / "model.pt";
  write_bytes(file, "x");
  check_mistake(amend_command({"info", missing}), "missing: not found");
  check_mistake(amend_command({"info", folder.path().string()}), "no manifest.json");
  check_mistake(amend_command({"info", file}), "save_file(");
  check_mistake(amend_command({"population", "train", missing, "--out", folder / "out"}), "missing");
  check_mistake(amend_command({"edit", missing, "--editor", "e", "--condition", "pruning=1", "--out", folder / "out"}),
                "missing: not found");
  check_mistake(amend_command({"audit", missing, missing}), "missing: not found");
  check_mistake(amend_command({"demo", "--device", "gpu"}), "expected cpu, cuda, cuda:N or auto");
  check_mistake(amend_command({"info", "e.safetensors", "--activation", "gelu"}),
                "--activation: expected an activation (relu, tanh, silu, sigmoid), got 'gelu'");
  check_mistake(amend_command({"demo", "--keep", folder.path().string()}), "--keep: expected a new or empty folder");
  CHECK(folder.entries() == 1);
}

TEST_CASE("a key or a requirement that does not exist is named with the nearest", "[cli]") {
  const TemporaryFolder folder;
  write_bytes(folder / "key.yaml", "requirements: {pruning: {}}\ntraining: {stepz: 3}\n");
  check_mistake(
      amend_command({"editor", "train", folder / "key.yaml", "--population", "p", "--out", folder / "e.safetensors"}),
      "steps");
  write_bytes(folder / "name.yaml", "requirements: {prunning: {}}\n");
  check_mistake(
      amend_command({"editor", "train", folder / "name.yaml", "--population", "p", "--out", folder / "e.safetensors"}),
      "unknown requirement `prunning`; did you mean `pruning`?");
}

TEST_CASE("the configurations of the demonstration are in the program", "[cli]") {
  REQUIRE(embedded_configs().size() == 3);
  for (const EmbeddedConfig& config : embedded_configs())
    CHECK(read_bytes(std::string(AMEND_SOURCE_DIR "/configs/") + std::string(config.path)) == config.text);
}
