#include "requirements/metric/feature_use.hpp"

#include "engine/error.hpp"
#include "requirements/metric/reach.hpp"

namespace amend {

std::vector<std::uint8_t> used_features(const SubjectNetwork& network, std::span<const Feature> features) {
  const std::vector<std::uint8_t> column = reaching_output(network).front();
  std::vector<std::uint8_t> used;
  for (const Feature& feature : features) {
    const int end = feature.first_input + feature.input_count;
    check(feature.first_input >= 0 && end <= network.widths.front(), "used_features", "feature `", feature.name,
          "` has inputs up to ", end, ", network `", network.name, "` has ", network.widths.front());
    std::uint8_t any = 0;
    for (int input = feature.first_input; input < end; ++input) any |= column[static_cast<std::size_t>(input)];
    used.push_back(any);
  }
  return used;
}

std::vector<float> without_features(std::span<const float> input, int inputs, std::span<const Feature> features,
                                    std::span<const std::uint8_t> kept) {
  const auto width = static_cast<std::size_t>(inputs);
  check(inputs > 0 && input.size() % width == 0 && kept.size() == features.size(), "without_features", "got ",
        input.size(), " numbers for ", inputs, " inputs and ", kept.size(), " marks for ", features.size(),
        " features");
  std::vector<float> result(input.begin(), input.end());
  const std::size_t rows = input.size() / width;
  for (std::size_t f = 0; f < features.size(); ++f) {
    if (kept[f]) continue;
    for (int c = features[f].first_input; c < features[f].first_input + features[f].input_count; ++c) {
      double sum = 0.0;
      for (std::size_t row = 0; row < rows; ++row) sum += input[row * width + static_cast<std::size_t>(c)];
      const auto mean = static_cast<float>(rows == 0 ? 0.0 : sum / static_cast<double>(rows));
      for (std::size_t row = 0; row < rows; ++row) result[row * width + static_cast<std::size_t>(c)] = mean;
    }
  }
  return result;
}

}  // namespace amend
