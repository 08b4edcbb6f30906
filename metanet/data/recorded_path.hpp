#pragma once

#include <filesystem>
#include <vector>

namespace amend {

/// `file` as it is recorded in what is made from it: absolute and normal, so that it holds in whatever folder it is
/// read.
std::filesystem::path recorded_path(const std::filesystem::path& file);

/// Files that may be the one recorded as `recorded`, which is not there: it moved together with `owner`, the file or
/// folder that refers to it, or it was recorded relative to a folder nobody knows. These are the ends of the recorded
/// path below the folder of the owner and the one above, longest first; only those that are there.
std::vector<std::filesystem::path> moved_paths(const std::filesystem::path& recorded,
                                               const std::filesystem::path& owner);

}  // namespace amend
