#include "metanet/data/recorded_path.hpp"

#include <algorithm>
#include <system_error>

namespace amend {

namespace fs = std::filesystem;

fs::path recorded_path(const fs::path& file) {
  std::error_code error;
  const fs::path absolute = fs::absolute(file, error), normal = absolute.lexically_normal();
  // `link/../file` is not `file` where the link leads elsewhere.
  if (fs::exists(absolute, error) && !fs::equivalent(absolute, normal, error)) {
    const fs::path canonical = fs::canonical(absolute, error);
    if (!error) return canonical;
  }
  return normal;
}

std::vector<fs::path> moved_paths(const fs::path& recorded, const fs::path& owner) {
  std::error_code error;
  std::vector<fs::path> ends;
  for (fs::path end = recorded.relative_path(); !end.empty();) {
    ends.push_back(end);
    fs::path shorter;
    for (auto part = std::next(end.begin()); part != end.end(); ++part) shorter /= *part;
    end = shorter;
  }
  fs::path folder = fs::absolute(owner, error).lexically_normal();
  if (!folder.has_filename()) folder = folder.parent_path();  // a slash at its end
  if (!fs::is_directory(folder, error)) folder = folder.parent_path();
  std::vector<fs::path> found;
  for (int above = 0; above < 2; ++above, folder = folder.parent_path())
    for (const fs::path& end : ends) {
      const fs::path candidate = (folder / end).lexically_normal();
      if (fs::is_regular_file(candidate, error) && std::find(found.begin(), found.end(), candidate) == found.end())
        found.push_back(candidate);
    }
  return found;
}

}  // namespace amend
