// What `amend info` says of a dataset description is enough to encode a table as amend does.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "metanet/data/dataset.hpp"
#include "test/support/command_run.hpp"
#include "test/support/data_files.hpp"

using namespace amend;
using namespace amend::test;
using Catch::Matchers::Contains;
using Json = nlohmann::json;
using Row = std::map<std::string, std::string>;  // column -> cell

namespace {

constexpr char kDescription[] = R"(name: loans
files:
  - {path: train.csv}
  - {path: audit.csv, split: audit}
missing: ["?", ""]
columns:
  - {name: age, strip_suffix: " y"}
  - {name: gain, transform: log1p, missing_indicator: yes}
  - {name: job, kind: categorical}
  - {name: town, kind: categorical, levels: [south, north, missing], strip_suffix: "!", unknown: zero}
  - {name: plan, kind: categorical, levels: [b, a], unknown: zero}
  - {name: repaid, kind: categorical, role: label}
label: {positive: ["yes", "y"], negative: "no"}
split: {seed: 1, subject_train: 6, editor_train: 2, validation: rest}
)";
constexpr char kHeader[] = "age,gain,job,town,plan,repaid\n";
constexpr char kTrain[] = R"(20,0,cook,north,a,yes
31,10.5,clerk,south!,b,no
42 y,?,cook,south,a,y
53,1000,?,north,b,no
64,3,pilot,?,a,no
?,7,clerk,north,a,yes
25,8,cook,south,b,no
36,9,pilot,north,a,no
47,12,cook,south,b,yes
)";
constexpr char kAudit[] = R"(33 y,2.25,clerk,north!,b,no
?,?,?,?,?,yes
1e30,-0.5,sailor,west,c,y
48,,cook,missing,a,no
)";

struct Files {
  TemporaryFolder folder;
  Files() {
    write_bytes(folder / "loans.yaml", kDescription);
    write_bytes(folder / "train.csv", std::string(kHeader) + kTrain);
    write_bytes(folder / "audit.csv", std::string(kHeader) + kAudit);
  }
  std::string description() const { return folder / "loans.yaml"; }
};

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, separator);) parts.push_back(part);
  return parts;
}

std::string strip(std::string cell, const std::string& suffix) {
  if (!suffix.empty() && cell.ends_with(suffix)) cell.resize(cell.size() - suffix.size());
  return cell;
}

/// The recipe of docs/cli.md.
std::vector<float> encode(const Json& info, const Row& row) {
  std::vector<float> input(info["inputs"].get<std::size_t>(), 0.0f);
  for (const Json& feature : info["features"]) {
    const std::string cell = strip(row.at(feature["name"]), feature["strip_suffix"]);
    const bool missing =
        std::find(info["missing_values"].begin(), info["missing_values"].end(), cell) != info["missing_values"].end();
    float* first = &input[feature["first_input"].get<std::size_t>()];
    if (feature["kind"] == "categorical") {
      if (missing && feature["missing"] != "level") {
        REQUIRE(feature["missing"] == "zero");
        continue;
      }
      const auto& levels = feature["levels"];
      const auto level = std::find(levels.begin(), levels.end(), missing ? "missing" : cell);
      REQUIRE((level != levels.end() || feature["unknown"] == "zero"));
      if (level != levels.end()) first[level - levels.begin()] = 1.0f;
    } else if (!missing) {
      double x = std::stod(cell);
      if (feature["transform"] == "log1p") x = std::log1p(x);
      const double limit = feature["limit"];
      x = (x - feature["mean"].get<double>()) / feature["scale"].get<double>();
      first[0] = static_cast<float>(std::clamp(x, -limit, limit));
    } else if (feature["missing"] == "indicator") {
      first[1] = 1.0f;
    }
  }
  return input;
}

std::int32_t encode_label(const Json& label, const Row& row) {
  const std::string cell = strip(row.at(label["column"]), label["strip_suffix"]);
  for (std::size_t c = 0; c < label["values"].size(); ++c)
    for (const Json& value : label["values"][c])
      if (value == cell) return static_cast<std::int32_t>(c);
  return -1;
}

}  // namespace

TEST_CASE("rows encoded by what `info --json` prints are the rows of the dataset, bit for bit", "[cli]") {
  const Files files;
  const CommandRun run = amend_command({"info", files.description(), "--json"});
  INFO(run.err);
  REQUIRE(run.code == kSuccess);
  const Json info = Json::parse(run.out);
  const Dataset dataset = load_dataset(files.description());
  CHECK(info["kind"] == "dataset");
  CHECK(info["fingerprint"] == dataset.fingerprint);
  REQUIRE(info["inputs"] == dataset.inputs);
  CHECK(info["rows"]["audit"] == 4);
  REQUIRE(dataset.audit.count == 4);
  const std::vector<std::string> names = split(split(kHeader, '\n').front(), ','), lines = split(kAudit, '\n');
  const auto width = static_cast<std::size_t>(dataset.inputs);
  for (std::size_t r = 0; r < lines.size(); ++r) {
    CAPTURE(lines[r]);
    const std::vector<std::string> cells = split(lines[r], ',');
    Row row;
    for (std::size_t k = 0; k < names.size(); ++k) row[names[k]] = cells[k];
    const float* expected = dataset.audit.input.data() + r * width;
    CHECK(encode(info, row) == std::vector<float>(expected, expected + width));
    CHECK(encode_label(info["label"], row) == dataset.audit.label[r]);
  }
}

TEST_CASE("`info` of a dataset description says in a line how a column is encoded", "[cli]") {
  const Files files;
  const CommandRun run = amend_command({"info", files.description()});
  CHECK(run.code == kSuccess);
  CHECK_THAT(run.out, Contains("from 5 features, classes 0 .. 1: no, yes"));
  CHECK_THAT(run.out, Contains("missing values are written `?`, ``"));
  CHECK_THAT(run.out, Contains("(log(1 + x) - ") && Contains("missing: 0, and 1 in a second input"));
  CHECK_THAT(run.out, Contains("3 levels: south, north, missing; missing: level `missing`; else: all 0"));
  CHECK_THAT(run.out, Contains("2 levels: b, a; missing or else: all 0"));
  CHECK(std::count(run.out.begin(), run.out.end(), '\n') == 4 + 1 + 5);

  // Long lists of levels are abbreviated.
  std::string levels, train = "place,repaid\n";
  for (int k = 0; k < 30; ++k) levels += (k > 0 ? ", place" : "place") + std::to_string(k);
  for (int k = 0; k < 30; ++k) train += "place" + std::to_string(k) + (k % 2 == 0 ? ",yes\n" : ",no\n");
  write_bytes(files.folder / "places.csv", train);
  write_bytes(files.folder / "places.yaml",
              "name: places\nfiles: [{path: places.csv}]\ncolumns:\n"
              "  - {name: place, kind: categorical, levels: [" +
                  levels +
                  "]}\n  - {name: repaid, kind: categorical, role: label}\n"
                  "label: {positive: \"yes\", negative: \"no\"}\n");
  const std::string places = files.folder / "places.yaml";
  CHECK_THAT(amend_command({"info", places}).out,
             Contains("30 levels: place0, ") && Contains(", ...; missing or else: an error"));
  CHECK_THAT(amend_command({"info", places, "--verbose"}).out, Contains(levels) && !Contains("..."));
}

TEST_CASE("`info` of a YAML file that describes no dataset is a mistake", "[cli]") {
  const CommandRun run = amend_command({"info", AMEND_SOURCE_DIR "/configs/editor_synthetic.yaml"});
  CHECK(run.code == kUserError);
  CHECK_THAT(run.err, Contains("editor_synthetic.yaml: expected the description of a dataset"));
  const CommandRun missing = amend_command({"info", "missing.yaml"});
  CHECK(missing.code == kUserError);
  CHECK_THAT(missing.err, Contains("missing.yaml"));
}
