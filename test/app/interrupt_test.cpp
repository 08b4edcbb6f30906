#include <sys/wait.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "test/support/command_run.hpp"
#include "test/support/data_files.hpp"

using namespace amend;
using namespace amend::test;

namespace {

/// Runs in the folder $1, with the program $2. SIGINT comes when there is a checkpoint: in the midst of the training.
constexpr char kScript[] = R"(cd "$1" || exit 1
OMP_NUM_THREADS=1 "$2" editor train editor.yaml --population pop --out e.safetensors >out 2>err &
process=$!
while [ ! -e e.safetensors.checkpoint ] && kill -0 $process; do sleep 0.02; done
kill -INT $process
wait $process
)";

}  // namespace

TEST_CASE("SIGINT while an editor trains writes its checkpoint and ends with exit code 130", "[cli][slow]") {
  const TemporaryFolder folder;
  write_bytes(folder / "data.yaml", "name: tiny\nsynthetic: {rows: 1200, seed: 3}\n");
  write_bytes(folder / "population.yaml",
              "dataset: data.yaml\nnetworks: 6\nsplit: {train: 0.5, validation: 0.25, test: 0.25}\nwidths: [4]\n"
              "epochs: [1, 2]\nmin_steps: 10\n");
  write_bytes(folder / "editor.yaml",
              "requirements: {pruning: {}}\n"
              "editor: {node_width: 4, edge_width: 4, messages: 0, passes: 1}\n"
              "training: {steps: 200000, batch: 2, rows: 16, probe_rows: 16, edit_probe_rows: 32, validations: 1000,\n"
              "           validation_rows: 16}\n");
  REQUIRE(amend_command({"population", "train", folder / "population.yaml", "--out", folder / "pop"}).code == kSuccess);
  write_bytes(folder / "script", kScript);
  const std::string command = "sh " + (folder / "script").string() + " " + folder.path().string() + " " +
                              std::string(AMEND_BINARY_DIR) + "/amend";
  const int status = std::system(command.c_str());
  const std::string message = read_bytes(folder / "err");
  INFO(message);
  REQUIRE(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 130);
  CHECK(read_bytes(folder / "out").empty());
  CHECK_FALSE(std::filesystem::exists(folder / "e.safetensors"));
  const nlohmann::json checkpoint =
      nlohmann::json::parse(amend_command({"info", folder / "e.safetensors.checkpoint", "--json"}).out);
  CHECK(message == "amend: interrupted after step " + checkpoint["step"].get<std::string>() +
                       " of 200000; the same command with --resume continues from e.safetensors.checkpoint\n");
}
