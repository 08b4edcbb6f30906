#include "requirements/baseline/reweighing.hpp"

#include "engine/error.hpp"

namespace amend {

std::vector<double> reweighing_weights(std::span<const std::int32_t> label, std::span<const std::int32_t> group,
                                       int classes, int groups) {
  constexpr const char* kName = "reweighing";
  check(!label.empty() && group.size() == label.size() && classes >= 1 && groups >= 1, kName, "got ", label.size(),
        " labels of ", classes, " classes and ", group.size(), " ids of ", groups, " groups");
  const auto class_count = static_cast<std::size_t>(classes), group_count = static_cast<std::size_t>(groups);
  const auto rows = static_cast<double>(label.size());
  std::vector<double> of_label(class_count, 0.0), of_group(group_count, 0.0);
  std::vector<double> of_both(group_count * class_count, 0.0);  // (groups, classes)
  for (std::size_t row = 0; row < label.size(); ++row) {
    check(label[row] >= 0 && label[row] < classes && group[row] >= 0 && group[row] < groups, kName, "row ", row,
          " has label ", label[row], " of ", classes, " and group ", group[row], " of ", groups);
    const auto y = static_cast<std::size_t>(label[row]), s = static_cast<std::size_t>(group[row]);
    of_label[y] += 1.0;
    of_group[s] += 1.0;
    of_both[s * class_count + y] += 1.0;
  }
  for (std::size_t s = 0; s < group_count; ++s)
    for (std::size_t y = 0; y < class_count; ++y)
      check(of_group[s] == 0.0 || of_label[y] == 0.0 || of_both[s * class_count + y] > 0.0, kName, "group ", s,
            " has no row with label ", y, ", which other groups have");
  std::vector<double> weight(label.size());
  for (std::size_t row = 0; row < label.size(); ++row) {
    const auto y = static_cast<std::size_t>(label[row]), s = static_cast<std::size_t>(group[row]);
    weight[row] = of_group[s] * of_label[y] / (rows * of_both[s * class_count + y]);
  }
  return weight;
}

std::vector<double> reweighing_probabilities(std::span<const std::int32_t> label, std::span<const std::int32_t> group,
                                             int classes, int groups) {
  std::vector<double> probability = reweighing_weights(label, group, classes, groups);
  for (double& value : probability) value /= static_cast<double>(label.size());
  return probability;
}

}  // namespace amend
