#include "requirements/comparison/row_shift.hpp"

#include <algorithm>

#include "engine/error.hpp"
#include "metanet/data/config.hpp"

namespace amend {

Rows shifted_rows(const Dataset& dataset, const Rows& rows, const RowShift& shift, const std::string& where) {
  const auto feature = std::find_if(dataset.features.begin(), dataset.features.end(),
                                    [&](const Feature& f) { return f.name == shift.feature; });
  std::vector<std::string> names;
  for (const Feature& f : dataset.features)
    if (f.kind == ColumnKind::categorical) names.push_back(f.name);
  if (feature == dataset.features.end() || feature->kind != ColumnKind::categorical)
    fail_input(where, "`", dataset.name, "` has no categorical feature `", shift.feature, "`; did you mean `",
               nearest_name(shift.feature, names), "`?");
  std::vector<std::size_t> inputs;
  for (const std::string& level : shift.levels) {
    const auto found = std::find(feature->levels.begin(), feature->levels.end(), level);
    if (found == feature->levels.end())
      fail_input(where, "feature `", shift.feature, "` has no level `", level, "`; did you mean `",
                 nearest_name(level, feature->levels), "`?");
    inputs.push_back(static_cast<std::size_t>(feature->first_input + (found - feature->levels.begin())));
  }
  Rows result;
  result.sensitive.resize(rows.sensitive.size());
  const auto width = static_cast<std::size_t>(dataset.inputs);
  for (std::size_t r = 0; r < static_cast<std::size_t>(rows.count); ++r) {
    const auto row = rows.input.begin() + static_cast<std::ptrdiff_t>(r * width);
    if (std::none_of(inputs.begin(), inputs.end(),
                     [&](std::size_t i) { return row[static_cast<std::ptrdiff_t>(i)] == 1.0f; }))
      continue;
    ++result.count;
    result.input.insert(result.input.end(), row, row + static_cast<std::ptrdiff_t>(width));
    result.label.push_back(rows.label[r]);
    for (std::size_t a = 0; a < rows.sensitive.size(); ++a) result.sensitive[a].push_back(rows.sensitive[a][r]);
  }
  if (result.count == 0) fail_input(where, "no row of `", dataset.name, "` is one of `", shift.name, "`");
  return result;
}

}  // namespace amend
