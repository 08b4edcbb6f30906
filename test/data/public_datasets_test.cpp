// The five public sets load with the counts their publishers give. Skipped where the files are not there.
#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>

#include "metanet/data/dataset.hpp"

using namespace amend;

namespace {

struct Expected {
  std::string name;
  std::size_t features;
  int inputs;
  std::int64_t rows, positives;
};

/// AMEND_DATA, or a sibling folder of the source tree, for as long as the object lives.
class DataFolder {
 public:
  DataFolder() {
    if (const char* folder = std::getenv("AMEND_DATA")) {
      path_ = folder;
    } else {
      path_ = std::filesystem::path(AMEND_SOURCE_DIR) / "../shared/data";
      setenv("AMEND_DATA", path_.c_str(), 1);
      set_ = true;
    }
  }
  ~DataFolder() {
    if (set_) unsetenv("AMEND_DATA");
  }
  DataFolder(const DataFolder&) = delete;
  DataFolder& operator=(const DataFolder&) = delete;

  bool has(const std::string& name) const { return std::filesystem::is_directory(path_ / name); }

 private:
  std::filesystem::path path_;
  bool set_ = false;
};

Dataset load(const std::string& name) {
  return load_dataset(std::filesystem::path(AMEND_SOURCE_DIR) / "configs/data" / (name + ".yaml"));
}

std::int64_t positives(const Rows& rows) {
  std::int64_t count = 0;
  for (const std::int32_t label : rows.label) count += label;
  return count;
}

std::int64_t members(const Dataset& dataset, std::size_t attribute, std::int32_t group) {
  std::int64_t count = 0;
  for (const Rows* rows : {&dataset.subject_train, &dataset.editor_train, &dataset.validation, &dataset.audit}) {
    for (const std::int32_t id : rows->sensitive[attribute]) count += id == group;
  }
  return count;
}

}  // namespace

TEST_CASE("public sets load with the published counts") {
  const DataFolder folder;
  const auto expected = GENERATE(Expected{"adult", 14, 108, 32561 + 16281, 7841 + 3846},
                                 Expected{"bank", 15, 50, 45211, 5289}, Expected{"compas", 9, 18, 6172, 2809},
                                 Expected{"german", 20, 61, 1000, 700}, Expected{"communities", 99, 99, 1994, 993});
  if (!folder.has(expected.name)) {
    WARN("skipped: no " << expected.name << " data; scripts/get_data downloads it");
    return;
  }
  const Dataset dataset = load(expected.name);
  CHECK(dataset.name == expected.name);
  CHECK(dataset.features.size() == expected.features);
  CHECK(dataset.inputs == expected.inputs);
  std::int64_t rows = 0, positive = 0;
  for (const Rows* split : {&dataset.subject_train, &dataset.editor_train, &dataset.validation, &dataset.audit}) {
    rows += split->count;
    positive += positives(*split);
  }
  CHECK(rows == expected.rows);
  CHECK(positive == expected.positives);
}

TEST_CASE("Adult keeps its published test file for the audit") {
  const DataFolder folder;
  if (!folder.has("adult")) {
    WARN("skipped: no adult data; scripts/get_data downloads it");
    return;
  }
  const Dataset adult = load("adult");
  CHECK(adult.subject_train.count == 15000);
  CHECK(adult.editor_train.count == 12000);
  CHECK(adult.validation.count == 5561);
  CHECK(adult.audit.count == 16281);
  CHECK(positives(adult.audit) == 3846);
  REQUIRE(adult.sensitive.size() == 2);
  CHECK(adult.sensitive[1].name == "sex");
  CHECK(members(adult, 1, 0) == 16192);  // women in both files
}

TEST_CASE("group rules of the public sets give the published counts") {
  const DataFolder folder;
  if (!folder.has("german") || !folder.has("communities")) {
    WARN("skipped: no german or communities data; scripts/get_data downloads them");
    return;
  }
  const Dataset german = load("german"), communities = load("communities");
  CHECK(german.sensitive[0].groups == std::vector<std::string>{"male", "female"});
  CHECK(members(german, 0, 1) == 310);
  CHECK(members(communities, 0, 1) == 1038);
}
