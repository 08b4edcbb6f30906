// `amend edit` on a population that is larger than the memory it may take.
#include <sys/wait.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <cstring>
#include <limits>

#include "metanet/data/dataset.hpp"
#include "metanet/data/population_stream.hpp"
#include "metanet/train/trained_editor.hpp"
#include "requirements/registry.hpp"
#include "test/support/command_run.hpp"
#include "test/support/data_files.hpp"
#include "test/support/peak_memory.hpp"
#include "test/support/random_networks.hpp"

using namespace amend;
using namespace amend::test;
using Catch::Matchers::Contains;

namespace {

/// A small editor that costs little, in `e.safetensors`.
struct Project {
  TemporaryFolder folder;
  Dataset dataset;

  Project() {
    write_bytes(folder / "data.yaml", "name: tiny\nsynthetic: {rows: 1200, seed: 3}\n");
    dataset = load_dataset(folder / "data.yaml");
    const TrainedEditor editor =
        make_editor(parse_editor_config("requirements: {pruning: {}}\n"
                                        "editor: {node_width: 4, edge_width: 4, messages: 0, passes: 1}\n"
                                        "training: {edit_probe_rows: 16}\n",
                                        "editor.yaml"),
                    dataset, make_requirements, DType::float32, Device::cpu());
    editor.editor->randomise(5, 0.1);
    save_editor(editor, folder / "e.safetensors");
  }

  /// Writes `count` networks with `hidden` neurons, all alike. Returns the bytes of their weights.
  std::int64_t save_networks(const std::string& name, int count, int hidden) const {
    SubjectNetwork network = random_network({dataset.inputs, hidden, 2}, Activation::relu, 1);
    Population outline{
        .dataset_name = dataset.name, .dataset_source = dataset.source, .dataset_fingerprint = dataset.fingerprint};
    for (int n = 0; n < count; ++n) {
      const std::string text = "n" + std::to_string(n);
      outline.networks.push_back({text, network.widths, network.activation, {}, {}, text});
      outline.split.push_back(PopulationSplit::test);
      outline.attributes.emplace_back();
    }
    PopulationWriter writer(outline, folder / name);
    for (const SubjectNetwork& next : outline.networks) {
      network.name = next.name;
      writer.write(network);
    }
    writer.commit();
    return 4 * count * (network.weight_count() + network.bias_count());
  }

  CommandRun edit(const std::string& in, const std::string& out, const std::string& batch) const {
    return amend_command({"edit", folder / in, "--editor", folder / "e.safetensors", "--condition", "pruning=0.5",
                          "--batch", batch, "--threads", "1", "--force", "--out", folder / out});
  }
};

/// Runs in the folder $1, with the program $2. SIGINT comes when the new population is being written.
constexpr char kInterrupt[] = R"(cd "$1" || exit 1
"$2" edit many --editor e.safetensors --condition pruning=0.5 --batch 1 --out interrupted >out 2>err &
process=$!
while ! ls .amend-*.tmp/.amend-*.tmp >ls 2>&1 && kill -0 $process; do sleep 0.02; done
kill -INT $process
wait $process
)";

}  // namespace

TEST_CASE("an edit takes no more memory for a population twenty times as large; SIGINT leaves nothing of it",
          "[cli][slow]") {
  const Project project;
  // 110 kB each: against the weights, the names and places of tensors are nothing.
  const std::int64_t few = project.save_networks("few", 8, 1000), many = project.save_networks("many", 168, 1000);
  const auto growth = [&](const std::string& in) {
    const PeakMemory peak;
    const CommandRun run = project.edit(in, "edited", "2");
    INFO(run.err);
    REQUIRE(run.code == kSuccess);
    return peak.growth();
  };
  growth("few");  // threads and libraries are there afterwards
  const std::int64_t few_growth = growth("few"), many_growth = growth("many");
  INFO("weights " << few << " and " << many << " bytes, memory grew by " << few_growth << " and " << many_growth);
  CHECK(many_growth - few_growth < (many - few) / 4);
  CHECK(PopulationReader(project.folder / "edited").outline().networks.size() == 168);

  write_bytes(project.folder / "script", kInterrupt);
  const std::size_t entries = project.folder.entries();
  const int status = std::system(("sh " + (project.folder / "script").string() + " " + project.folder.path().string() +
                                  " " + AMEND_BINARY_DIR + "/amend")
                                     .c_str());
  REQUIRE(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == kInterrupted);
  CHECK(read_bytes(project.folder / "err") == "amend: interrupted; nothing was written to interrupted\n");
  CHECK(read_bytes(project.folder / "out").empty());
  CHECK(project.folder.entries() == entries + 3);  // of the script: out, err, ls
}

TEST_CASE("a damaged network at the end of a population is an error, and the old edit stays", "[cli]") {
  const Project project;
  project.save_networks("few", 5, 6);
  const std::filesystem::path weights = project.folder / "few/networks.safetensors",
                              edited = project.folder / "edited/networks.safetensors";
  REQUIRE(project.edit("few", "edited", "2").code == kSuccess);
  const std::string before = read_bytes(edited);
  const std::size_t entries = project.folder.entries();

  std::string bytes = read_bytes(weights);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  std::memcpy(bytes.data() + bytes.size() - sizeof nan, &nan, sizeof nan);
  write_bytes(weights, bytes);
  CommandRun run = project.edit("few", "edited", "2");
  CHECK(run.code == kUserError);
  CHECK(run.err == "amend: " + weights.string() +
                       ": tensor \"n4.1.bias\": expected finite numbers within float32, got nan at element 1\n");
  write_bytes(weights, bytes.substr(0, bytes.size() - 4));
  run = project.edit("few", "edited", "2");
  CHECK(run.code == kUserError);
  CHECK_THAT(run.err, Contains(weights.string() + ": tensor \"n4.1.bias\": truncated"));
  CHECK((read_bytes(edited) == before));
  CHECK(project.folder.entries() == entries);
}
