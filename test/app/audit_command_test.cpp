// `amend audit` as a user runs it, on networks that nobody trained.

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "metanet/data/dataset.hpp"
#include "metanet/data/population.hpp"
#include "metanet/data/safetensors.hpp"
#include "test/support/command_run.hpp"
#include "test/support/data_files.hpp"
#include "test/support/random_networks.hpp"

using namespace amend;
using namespace amend::test;
using Catch::Contains;

namespace {

constexpr char kData[] = R"(name: regions
files: [{path: regions.csv}]
columns:
  - {name: x}
  - {name: y}
  - {name: region, kind: categorical, role: sensitive, levels: [north, south, tiny]}
  - {name: side, kind: categorical, role: sensitive, levels: [left, right]}
  - {name: label, kind: categorical, role: label}
label: {positive: "1", negative: "0"}
split: {seed: 1, subject_train: 0.1, editor_train: 0.1, validation: 0.1, audit: 0.7}
)";

/// Populations `pop` and `edited` of two networks, on rows of which one region has about two in a hundred.
struct Folder {
  TemporaryFolder folder;
  std::string pop, edited;

  Folder() : pop(folder / "pop"), edited(folder / "edited") {
    std::string csv = "x,y,region,side,label\n";
    for (int row = 0; row < 1000; ++row) {
      const int x = row * 37 % 101, y = row * 53 % 97;
      csv += std::to_string(x) + "," + std::to_string(y) + "," +
             (row % 50 == 0  ? "tiny"
              : row % 2 == 0 ? "north"
                             : "south") +
             "," + (row % 3 == 0 ? "left" : "right") + "," + (x > 50 ? "1" : "0") + "\n";
    }
    write_bytes(folder / "regions.csv", csv);
    write_bytes(folder / "regions.yaml", kData);
    save(pop, 1, true);
    save(edited, 2, true);
  }

  /// Two random networks, with or without the dataset's fingerprint.
  void save(const std::string& path, std::uint64_t seed, bool fingerprint) const {
    const Dataset dataset = load_dataset(folder / "regions.yaml");
    Population population{.dataset_name = dataset.name, .dataset_source = dataset.source};
    if (fingerprint) population.dataset_fingerprint = dataset.fingerprint;
    for (std::uint64_t n = 0; n < 2; ++n) {
      population.networks.push_back(random_network({dataset.inputs, 3, 2}, Activation::relu, 10 * seed + n));
      population.networks.back().name = population.networks.back().run = "n" + std::to_string(n);
      population.split.push_back(PopulationSplit::test);
      population.attributes.push_back(nlohmann::json::object());
    }
    save_population(population, path);
  }
};

void check_mistake(const CommandRun& run, const std::string& message) {
  CHECK(run.code == kUserError);
  CHECK(run.out.empty());
  CHECK_THAT(run.err, Contains(message));
}

}  // namespace

TEST_CASE("a limit that a small group keeps from being shown is not met", "[cli]") {
  const Folder files;
  const auto limited = [&](const std::string& scope, const std::string& flag) {
    return amend_command(
        {"audit", files.pop, files.edited, "--sensitive", "region", "--max-equalised-odds", "1", scope, flag});
  };
  for (const char* scope : {"--mean", "--seed=1"}) {
    const CommandRun strict = limited(scope, "--minimum-rows=20");
    CHECK(strict.code == kLimitNotMet);
    CHECK_THAT(strict.out,
               Contains("NOT MET  --max-equalised-odds 1 (gap of rates)") && Contains("without tiny: only"));
    CHECK_THAT(strict.err, Contains("limit not met: --max-equalised-odds 1 (gap of rates): ") &&
                               Contains("without tiny: only") && Contains("rows with label 1, minimum 20"));
    CHECK(strict.err.find("limit not met") == strict.err.rfind("limit not met"));  // the reason is said once
    const CommandRun loose = limited(scope, "--ignore-small-groups");
    CHECK(loose.code == kSuccess);
    CHECK(loose.err.empty());
    CHECK_THAT(loose.out, Contains("small groups ignored"));
  }
  CHECK(amend_command({"audit", files.pop, files.edited, "--sensitive", "side", "--max-equalised-odds", "1"}).code ==
        kSuccess);
}

TEST_CASE("limits take numbers of their range and say which", "[cli]") {
  const auto limit = [](const std::string& option, const std::string& value) {
    return amend_command({"audit", "a", "b", option, value});
  };
  check_mistake(limit("--max-nonzero-share", "50"),
                "--max-nonzero-share: expected 0 to 1 (share of weights), got `50`");
  check_mistake(limit("--max-accuracy-drop", "100.5"),
                "--max-accuracy-drop: expected -100 to 100 (points), got `100.5`");
  check_mistake(limit("--max-equalised-odds", "nan"),
                "--max-equalised-odds: expected 0 to 1 (gap of rates), got `nan`");
  check_mistake(limit("--max-equalised-odds-sum", "2.5"), "expected 0 to 2 (sum of two gaps), got `2.5`");
  check_mistake(limit("--max-divergence", "inf"), "--max-divergence: expected 0 to 0.6932 (nats), got `inf`");
  check_mistake(limit("--max-features", "-1"), "--max-features: expected 0 or more (features), got `-1`");
  CHECK(limit("--max-features", "-1").err.size() < 150);
  check_mistake(limit("--max-accuracy-drop", "-100"), "a: not found");  // in range
}

TEST_CASE("options that would do nothing are mistakes", "[cli]") {
  const Folder files;
  const auto audit = [&](const std::string& option, const std::string& more = "--seed=1") {
    return amend_command({"audit", files.pop, files.edited, option, more});
  };
  check_mistake(audit("--sensitive=region,region"), "--sensitive: `region` is named twice");
  check_mistake(audit("--sensitive=region", "--intersection"), "--intersection: needs two sensitive attributes");
  check_mistake(audit("--activation=relu"), "--activation");
  check_mistake(audit("--networks=2", "--json"), "--networks");
  check_mistake(audit("--networks=0"), "--networks: expected all or a number from 1, got `0`");
  CHECK(audit("--sensitive=region,side", "--intersection").code == kSuccess);

  const std::string model = files.folder / "model.safetensors";
  SafetensorsFile contents;
  contents.tensors.push_back(make_float_tensor("fc.weight", {2, 2}, std::vector<float>{1, 0, 0, 1}));
  contents.tensors.push_back(make_float_tensor("fc.bias", {2}, std::vector<float>{0, 0}));
  save_safetensors(model, contents);
  const auto single = [&](const std::string& option) {
    return amend_command(
        {"audit", model, model, "--activation", "relu", "--data", files.folder / "regions.yaml", option});
  };
  check_mistake(single("--split=test"), "--split: chooses networks of a population");
  check_mistake(single("--networks=all"), "--networks");
  CHECK(single("--seed=1").code == kSuccess);
}

TEST_CASE("an audit lists networks as asked and warns of an unknown dataset", "[cli]") {
  const Folder files;
  const CommandRun one = amend_command({"audit", files.pop, files.edited, "--networks", "1"});
  CHECK_THAT(one.out, Contains("The network that loses most accuracy"));
  const CommandRun all = amend_command({"audit", files.pop, files.edited, "--networks", "all"});
  CHECK_THAT(all.out, Contains("Networks, most accuracy lost first") && Contains("\n  n0 ") && Contains("\n  n1 "));
  CHECK(all.err.empty());

  const std::string unknown = files.folder / "unknown";
  files.save(unknown, 2, false);
  const CommandRun unchecked = amend_command({"audit", files.pop, unknown, "--json"});
  CHECK(unchecked.code == kSuccess);
  CHECK_THAT(unchecked.err, Contains("warning: " + unknown + " has no dataset fingerprint"));
  CHECK(unchecked.err.find("warning") == unchecked.err.rfind("warning"));
}
