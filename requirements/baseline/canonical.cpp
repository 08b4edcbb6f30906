#include "requirements/baseline/canonical.hpp"

#include <algorithm>

#include "engine/error.hpp"
#include "metanet/graph/predict.hpp"
#include "requirements/metric/utility.hpp"

namespace amend {
namespace {

std::vector<float> logits_of(std::span<const SubjectNetwork* const> networks, std::span<const float> input) {
  const int inputs = networks.front()->widths.front();
  const std::int64_t rows = static_cast<std::int64_t>(input.size()) / inputs;
  check(rows > 0 && rows * inputs == static_cast<std::int64_t>(input.size()), "canonical", "got ", input.size(),
        " numbers for ", inputs, " inputs");
  return predict_logits(networks, input.data(), rows, inputs);
}

/// Mean over the rows of each column of a (rows, cols) matrix.
std::vector<double> column_means(const std::vector<double>& matrix, std::size_t rows, std::size_t cols) {
  std::vector<double> mean(cols, 0.0);
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t c = 0; c < cols; ++c) mean[c] += matrix[r * cols + c] / static_cast<double>(rows);
  return mean;
}

/// Mean of a square matrix without its diagonal.
double off_diagonal_mean(const std::vector<double>& matrix, std::size_t size) {
  double sum = 0.0;
  for (std::size_t r = 0; r < size; ++r)
    for (std::size_t c = 0; c < size; ++c)
      if (r != c) sum += matrix[r * size + c];
  return sum / static_cast<double>(size * (size - 1));
}

}  // namespace

CanonicalReplacement canonical_replacement(std::span<const SubjectNetwork* const> candidates,
                                           std::span<const SubjectNetwork* const> originals,
                                           std::span<const float> input) {
  check(!candidates.empty() && !originals.empty(), "canonical_replacement", "got ", candidates.size(),
        " candidates and ", originals.size(), " originals");
  const std::vector<float> first = logits_of(originals, input), second = logits_of(candidates, input);
  const auto matrix = cross_divergence(first, static_cast<std::int64_t>(originals.size()), second,
                                       static_cast<std::int64_t>(candidates.size()), originals.front()->widths.back());
  CanonicalReplacement result;
  result.mean_divergence = column_means(matrix, originals.size(), candidates.size());
  const auto best = std::min_element(result.mean_divergence.begin(), result.mean_divergence.end());
  result.index = static_cast<int>(best - result.mean_divergence.begin());
  result.divergence = *best;
  return result;
}

Specificity specificity(std::span<const SubjectNetwork* const> originals, std::span<const SubjectNetwork* const> edited,
                        std::span<const float> input) {
  const std::size_t size = originals.size();
  check(size >= 2 && edited.size() == size, "specificity", "got ", size, " originals and ", edited.size(), " edits");
  const std::vector<float> before = logits_of(originals, input), after = logits_of(edited, input);
  const auto count = static_cast<std::int64_t>(size);
  const int classes = originals.front()->widths.back();
  const auto matrix = cross_divergence(before, count, after, count, classes);
  Specificity result;
  for (std::size_t n = 0; n < size; ++n) result.own += matrix[n * size + n] / static_cast<double>(size);
  result.cross = off_diagonal_mean(matrix, size);
  const std::vector<double> mean = column_means(matrix, size, size);
  const auto best = std::min_element(mean.begin(), mean.end());
  result.best_canonical = *best;
  result.best_index = static_cast<int>(best - mean.begin());
  result.among_edited = off_diagonal_mean(cross_divergence(after, count, after, count, classes), size);
  result.among_originals = off_diagonal_mean(cross_divergence(before, count, before, count, classes), size);
  return result;
}

}  // namespace amend
