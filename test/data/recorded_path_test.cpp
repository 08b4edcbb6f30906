#include "metanet/data/recorded_path.hpp"

#include <catch2/catch.hpp>

#include "metanet/data/dataset.hpp"
#include "test/support/data_files.hpp"

using namespace amend;
using namespace amend::test;
namespace fs = std::filesystem;

TEST_CASE("a recorded path holds in every folder") {
  const TemporaryFolder folder;
  fs::create_directories(folder / "a/b");
  write_bytes(folder / "a/data.yaml", "name: tiny\nsynthetic: {rows: 400, seed: 3}\n");
  const fs::path file = fs::canonical(folder / "a/data.yaml");
  {
    const WorkingFolder inside(folder / "a/b");
    CHECK(recorded_path("../data.yaml") == file);
    CHECK(recorded_path("nothing/../other.yaml") == file.parent_path() / "b/other.yaml");
    const Dataset dataset = load_dataset("../data.yaml");
    CHECK(dataset.source == file);
    CHECK(dataset.files == std::vector<fs::path>{"../data.yaml"});
  }
  // A link that leads elsewhere: `link/../data.yaml` lies beside what it leads to.
  fs::create_directory_symlink(folder / "a/b", folder / "link");
  CHECK(recorded_path(folder / "link/../data.yaml") == file);
}

TEST_CASE("what moved together with its owner is found again") {
  const TemporaryFolder folder;
  const fs::path owner = folder / "new/population";
  fs::create_directories(owner);
  fs::create_directories(folder / "new/configs");
  const auto found = [&](const fs::path& recorded) { return moved_paths(recorded, owner); };
  CHECK(found("/old/project/configs/data.yaml").empty());
  write_bytes(folder / "new/data.yaml", "");
  write_bytes(folder / "new/configs/data.yaml", "");
  CHECK(found("/old/project/configs/data.yaml") ==
        std::vector<fs::path>{folder / "new/configs/data.yaml", folder / "new/data.yaml"});
  CHECK(moved_paths("/old/configs/data.yaml", owner.string() + "/").size() == 2);
  CHECK(found("../configs/data.yaml").front() == folder / "new/configs/data.yaml");  // recorded relative to its folder
  CHECK(found("data.yaml") == std::vector<fs::path>{folder / "new/data.yaml"});
  CHECK(found("").empty());
  // Of a file, its folder counts and the one above.
  write_bytes(folder / "new/population/editor.safetensors", "");
  CHECK(moved_paths("x/data.yaml", owner / "editor.safetensors") == std::vector<fs::path>{folder / "new/data.yaml"});
}
