#include "metanet/data/dataset.hpp"

#include <unistd.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <numeric>
#include <set>

#include "engine/error.hpp"
#include "metanet/data/sha256.hpp"

using namespace amend;
using Catch::Matchers::Contains;

namespace {

/// A folder of its own that goes away again.
class Folder {
 public:
  Folder() : path_(std::filesystem::temp_directory_path() / ("amend_dataset_test." + std::to_string(getpid()))) {
    std::filesystem::create_directories(path_);
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  std::filesystem::path write(const std::string& name, const std::string& text) const {
    std::ofstream(path_ / name, std::ios::binary) << text;
    return path_ / name;
  }
  Dataset load(const std::string& description, const std::string& data) const {
    write("data.csv", data);
    return load_dataset(write("set.yaml", description));
  }

 private:
  std::filesystem::path path_;
};

/// Twelve rows; row i has x = i, so that the splits can be told apart.
std::string twelve_rows() {
  std::string text = "x,colour,y\n";
  for (int i = 0; i < 12; ++i) text += std::to_string(i) + (i % 3 ? ",red," : ",blue,") + (i % 2 ? "yes\n" : "no\n");
  return text;
}

std::string describe(const std::string& x = "", const std::string& colour = "", const std::string& rest = "") {
  return "name: t\nfiles: [{path: data.csv}]\nmissing: \"?\"\ncolumns:\n  - {name: x" + x +
         "}\n  - {name: colour, kind: categorical, role: [feature, sensitive]" + colour +
         "}\n  - {name: \"y\", kind: categorical, role: label}\nlabel: {positive: \"yes\", negative: \"no\"}\n" + rest;
}

const std::string kSplit = "split: {seed: 3, subject_train: 5, editor_train: 0.25, validation: 2, audit: rest}\n";

std::vector<const Rows*> splits(const Dataset& dataset) {
  return {&dataset.subject_train, &dataset.editor_train, &dataset.validation, &dataset.audit};
}

/// The x of every row of a split, taken back out of the standardised input.
std::vector<int> original_x(const Dataset& dataset, const Rows& rows) {
  std::vector<int> values;
  for (std::int64_t row = 0; row < rows.count; ++row) {
    const double input = rows.input[static_cast<std::size_t>(row * dataset.inputs)];
    values.push_back(static_cast<int>(std::lround(input * dataset.features[0].scale + dataset.features[0].mean)));
  }
  return values;
}

}  // namespace

TEST_CASE("splits are disjoint, complete, of the given sizes and repeatable") {
  const Folder folder;
  const Dataset dataset = folder.load(describe("", "", kSplit), twelve_rows());
  CHECK(dataset.subject_train.count == 5);
  CHECK(dataset.editor_train.count == 3);
  CHECK(dataset.validation.count == 2);
  CHECK(dataset.audit.count == 2);
  std::multiset<int> seen;
  for (const Rows* rows : splits(dataset)) {
    const std::vector<int> values = original_x(dataset, *rows);
    for (std::size_t i = 0; i < values.size(); ++i) {
      seen.insert(values[i]);
      CHECK(rows->label[i] == values[i] % 2);
      CHECK(rows->sensitive[0][i] == (values[i] % 3 ? 1 : 0));  // blue, red
    }
  }
  CHECK(seen == std::multiset<int>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11});

  const Dataset again = folder.load(describe("", "", kSplit), twelve_rows());
  CHECK(original_x(again, again.subject_train) == original_x(dataset, dataset.subject_train));
  CHECK(again.fingerprint == dataset.fingerprint);
  const std::string other_seed = "split: {seed: 4, subject_train: 5, editor_train: 0.25, validation: 2, audit: rest}\n";
  const Dataset other = folder.load(describe("", "", other_seed), twelve_rows());
  CHECK(original_x(other, other.subject_train) != original_x(dataset, dataset.subject_train));
  CHECK(other.fingerprint != dataset.fingerprint);
}

TEST_CASE("shares that sum to one use every row") {
  const Folder folder;
  const Dataset dataset = folder.load(
      describe("", "", "split: {subject_train: 0.3, editor_train: 0.3, validation: 0.2, audit: 0.2}\n"), twelve_rows());
  std::int64_t total = 0;
  for (const Rows* rows : splits(dataset)) total += rows->count;
  CHECK(total == 12);
}

TEST_CASE("numbers are standardised with the statistics of subject_train alone") {
  const Folder folder;
  const Dataset dataset = folder.load(describe(", transform: log1p", "", kSplit), twelve_rows());
  const auto& train = dataset.subject_train;
  double sum = 0, squares = 0;
  for (std::int64_t row = 0; row < train.count; ++row) {
    const double value = train.input[static_cast<std::size_t>(row * dataset.inputs)];
    sum += value;
    squares += value * value;
  }
  CHECK(sum / 5 == Approx(0).margin(1e-6));
  CHECK(squares / 5 == Approx(1).epsilon(1e-6));
  // The same numbers from the definition, over the rows the split says it has.
  const Dataset plain = folder.load(describe("", "", kSplit), twelve_rows());
  double mean = 0;
  for (const int x : original_x(plain, plain.subject_train)) mean += std::log1p(x) / 5;
  CHECK(dataset.features[0].mean == Approx(mean).epsilon(1e-6));
}

TEST_CASE("a constant column encodes to zeros") {
  const Folder folder;
  std::string text = "x,colour,y\n";
  for (int i = 0; i < 12; ++i) text += std::string("0.1,red,") + (i % 2 ? "yes\n" : "no\n");
  const Dataset dataset = folder.load(describe("", "", kSplit), text);
  for (const float input : {dataset.subject_train.input[0], dataset.audit.input[0]}) CHECK(std::abs(input) < 1e-6f);
}

TEST_CASE("a missing number becomes the mean, with an indicator on request") {
  const Folder folder;
  std::string text = "x,colour,y\n";
  for (int i = 0; i < 12; ++i) text += (i % 4 ? std::to_string(i) : "?") + ",red," + (i % 2 ? "yes\n" : "no\n");
  const Dataset dataset = folder.load(describe(", missing_indicator: yes", "", kSplit), text);
  CHECK(dataset.features[0].input_count == 2);
  CHECK(dataset.features[1].first_input == 2);
  int missing = 0;
  for (const Rows* rows : splits(dataset)) {
    for (std::int64_t row = 0; row < rows->count; ++row) {
      const float* input = &rows->input[static_cast<std::size_t>(row * dataset.inputs)];
      missing += input[1] == 1;
      if (input[1] == 1) CHECK(input[0] == 0);
    }
  }
  CHECK(missing == 3);
  CHECK(folder.load(describe("", "", kSplit), text).features[0].input_count == 1);
  std::int64_t kept = 0;
  const Dataset complete = folder.load(
      describe("", "", "drop_missing: yes\nsplit: {subject_train: 4, editor_train: 2, validation: 1, audit: rest}\n"),
      text);
  for (const Rows* rows : splits(complete)) kept += rows->count;
  CHECK(kept == 9);
}

TEST_CASE("levels: explicit ones reject unknown values, `unknown: zero` and `auto` encode them as zeros") {
  const Folder folder;
  std::string text = twelve_rows();
  text += "3,green,yes\n5,?,no\n";
  CHECK_THROWS_WITH(folder.load(describe("", ", levels: [blue, red]", kSplit), text),
                    Contains("data.csv: line 14: column `colour`") && Contains("`green`"));
  const Dataset listed = folder.load(describe("", ", levels: [red, blue, green, missing]", kSplit), text);
  CHECK(listed.features[1].levels == std::vector<std::string>{"red", "blue", "green", "missing"});
  CHECK(listed.inputs == 5);
  CHECK(listed.sensitive[0].groups == listed.features[1].levels);
  for (const Rows* rows : splits(listed)) {
    for (std::int64_t row = 0; row < rows->count; ++row) {
      const float* input = &rows->input[static_cast<std::size_t>(row * listed.inputs)];
      CHECK(std::accumulate(input + 1, input + 5, 0.0f) == 1.0f);
      CHECK(input[1 + rows->sensitive[0][static_cast<std::size_t>(row)]] == 1.0f);
    }
  }

  // A level that only audit rows have is unknown to `auto`.
  const std::string pinned =
      "name: t\nheader: no\nfiles: [{path: data.csv}, {path: audit.csv, split: audit}]\ncolumns:\n"
      "  - {name: colour, kind: categorical}\n  - {name: \"y\", kind: categorical, role: label}\n"
      "label: {positive: \"1\", negative: \"0\"}\n"
      "split: {subject_train: 2, editor_train: 1, validation: rest}\n";
  folder.write("audit.csv", "green,1\nred,0\n");
  const Dataset dataset = folder.load(pinned, "red,0\nred,1\nred,0\nred,1\nred,1\n");
  CHECK(dataset.features[0].levels == std::vector<std::string>{"red"});
  CHECK(dataset.audit.input == std::vector<float>{0, 1});
  CHECK(dataset.audit.label == std::vector<std::int32_t>{1, 0});
  CHECK(dataset.validation.count == 2);
}

TEST_CASE("group rules by interval and by value, intersections and their names") {
  const Folder folder;
  const std::string rules =
      "sensitive:\n  - {name: high, column: x, above: 5, names: [low, high]}\n"
      "  - {name: colour, groups: {warm: red}, other: cold}\n";
  const Dataset dataset = folder.load(describe("", "", rules + kSplit), twelve_rows());
  REQUIRE(dataset.sensitive.size() == 2);
  CHECK(group_names(dataset, {}) == std::vector<std::string>{"low & warm", "low & cold", "high & warm", "high & cold"});
  CHECK(group_names(dataset, {"colour"}) == std::vector<std::string>{"warm", "cold"});
  const std::vector<int> x = original_x(dataset, dataset.subject_train);
  const std::vector<std::int32_t> ids = group_ids(dataset, dataset.subject_train, {});
  for (std::size_t i = 0; i < x.size(); ++i) CHECK(ids[i] == (x[i] > 5 ? 2 : 0) + (x[i] % 3 ? 0 : 1));
  CHECK_THROWS_WITH(group_names(dataset, {"color"}), Contains("did you mean `colour`"));
}

TEST_CASE("filters keep the rows they describe") {
  const Folder folder;
  const std::string filter = "filter:\n  - {column: x, between: [2, 9]}\n  - {column: colour, not: blue}\n";
  const std::string split = "split: {subject_train: 2, editor_train: 1, validation: 1, audit: rest}\n";
  const Dataset dataset = folder.load(describe("", "", filter + split), twelve_rows());
  std::multiset<int> seen;
  for (const Rows* rows : splits(dataset)) {
    for (const int x : original_x(dataset, *rows)) seen.insert(x);
  }
  CHECK(seen == std::multiset<int>{2, 4, 5, 7, 8});
}

TEST_CASE("a numeric label is cut at a threshold") {
  const Folder folder;
  const std::string description =
      "name: t\nheader: no\nfiles: [{path: data.csv}]\ncolumns: [{name: x}, {name: rate, role: label}]\n"
      "label: {above: 0.5}\nsplit: {subject_train: 1, editor_train: 1, validation: 1, audit: 1}\n";
  const Dataset dataset = folder.load(description, "1,0.5\n2,0.51\n3,0.9\n4,0\n");
  CHECK(dataset.class_names == std::vector<std::string>{"<= 0.5", "> 0.5"});
  std::int32_t positives = 0;
  for (const Rows* rows : splits(dataset)) positives += rows->label[0];
  CHECK(positives == 2);
}

TEST_CASE("a header may repeat a column as long as the copies agree") {
  const Folder folder;
  std::string same = "x,colour,y,x\n", different = same;
  for (int i = 0; i < 12; ++i) {
    const std::string row = std::to_string(i) + ",red," + (i % 2 ? "yes," : "no,");
    same += row + std::to_string(i) + "\n";
    different += row + std::to_string(i == 7 ? 0 : i) + "\n";
  }
  CHECK(folder.load(describe("", "", kSplit), same).inputs == 2);
  CHECK_THROWS_WITH(folder.load(describe("", "", kSplit), different), Contains("line 9") && Contains("`x` twice"));
}

TEST_CASE("cells that are no finite numbers are named") {
  const Folder folder;
  for (const std::string cell : {"nan", "inf", "-inf", "NaN", "1e999", "12a", "", "0x10"}) {
    CHECK_THROWS_WITH(folder.load(describe("", "", kSplit), twelve_rows() + cell + ",red,yes\n"),
                      Contains("data.csv: line 14: column `x`: expected a number, got `" + cell + "`"));
  }
  CHECK_THROWS_WITH(folder.load(describe(", transform: log1p", "", kSplit), twelve_rows() + "-1,red,yes\n"),
                    Contains("line 14: column `x`: log1p needs a number > -1"));
}

TEST_CASE("a wrong label, checksum, file or column is named") {
  const Folder folder;
  CHECK_THROWS_WITH(folder.load(describe("", "", kSplit), twelve_rows() + "1,red,yes.\n"),
                    Contains("line 14: column `y`") && Contains("`yes.`"));
  const std::string got = sha256_hex(twelve_rows());
  std::string description = describe("", "", kSplit);
  const auto checked = [&](const std::string& digest) {
    return "name: t\nfiles: [{path: data.csv, sha256: " + digest + "}]\n" +
           description.substr(description.find("missing"));
  };
  CHECK_NOTHROW(folder.load(checked(got), twelve_rows()));
  CHECK_THROWS_WITH(folder.load(checked(std::string(64, '0')), twelve_rows()),
                    Contains("expected " + std::string(64, '0')) && Contains(got));
  description.replace(description.find("data.csv"), 8, "none.csv");
  CHECK_THROWS_WITH(folder.load(description, ""),
                    Contains("none.csv") && Contains("tried") && Contains("scripts/get_data"));
  CHECK_THROWS_WITH(folder.load(describe("", "", kSplit), "x,color,y\n1,red,yes\n"), Contains("did you mean `color`"));
}

TEST_CASE("descriptions that make no sense are refused") {
  const Folder folder;
  const auto refuse = [&](const std::string& description, const std::string& message) {
    CHECK_THROWS_WITH(folder.load(description, twelve_rows()), Contains("set.yaml") && Contains(message));
  };
  refuse(describe(", knd: numeric", "", kSplit), "columns[0].knd: unknown key; did you mean `kind`?");
  refuse(describe(", role: featur", "", kSplit), "columns[0].role");
  refuse(describe(", levels: [a]", "", kSplit), "categorical column only");
  refuse(describe("", ", levels: [a, a]", kSplit), "each one once");
  refuse(describe("", ", transform: log1p", kSplit), "numeric column only");
  refuse(describe(", role: [feature, sensitive]", "", kSplit), "expected a rule");
  refuse(describe("", "", "filter: [{column: z, above: 1}]\n" + kSplit), "no column `z`");
  refuse(describe("", "", "filter: [{column: colour, above: 1}]\n" + kSplit), "is categorical");
  refuse(describe("", "", "sensitive: [{name: s, column: x, groups: {a: \"1\", b: \"2\"}}]\n" + kSplit), "is numeric");
  refuse(describe("", "", "split: {subject_train: 0.5, editor_train: 0.5, validation: 0.5, audit: 0.5}\n"), "split");
  refuse(describe("", "", "split: {subject_train: 20, editor_train: 1, validation: 1, audit: 1}\n"), "at most 12 rows");
  refuse(describe("", "", "split: {subject_train: 10, editor_train: 1, validation: 1, audit: rest}\n"), "split.audit");
  refuse(describe("", "", "split: {subject_train: rest, editor_train: rest, validation: 1, audit: 1}\n"), "the rest");
  refuse(describe("", "", "split: {subject_train: 3}\n"), "split.editor_train: missing");
  refuse("name: t\n", "files");
  refuse("name: t\nfiles: [{path: data.csv}]\ncolumns: [{name: x}]\n", "role label");
  refuse("name: t\nfiles: [{path: data.csv}\n", "not valid YAML");
}

TEST_CASE("the shipped synthetic description loads") {
  const Dataset dataset = load_dataset(std::filesystem::path(AMEND_SOURCE_DIR) / "configs/data/synthetic.yaml");
  CHECK(dataset.features.size() == 12);
  CHECK(dataset.inputs == 25);
  CHECK(dataset.subject_train.count + dataset.editor_train.count + dataset.validation.count + dataset.audit.count ==
        20000);
  CHECK(dataset.sensitive[0].groups == std::vector<std::string>{"a", "b"});
  for (const float input : dataset.subject_train.input) REQUIRE(std::isfinite(input));
}
