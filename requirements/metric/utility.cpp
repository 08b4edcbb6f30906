#include "requirements/metric/utility.hpp"

#include <algorithm>
#include <cmath>

#include "engine/error.hpp"
#include "engine/parallel.hpp"

namespace amend {
namespace {

/// Softmax of one row.
void probabilities(const float* logits, int classes, double* p) {
  const double top = *std::max_element(logits, logits + classes);
  double sum = 0.0;
  for (int c = 0; c < classes; ++c) sum += p[c] = std::exp(static_cast<double>(logits[c]) - top);
  for (int c = 0; c < classes; ++c) p[c] /= sum;
}

/// -p log p, 0 at 0.
double entropy_term(double p) { return p > 0.0 ? -p * std::log(p) : 0.0; }

/// Probabilities (count, rows, classes) of networks and the entropy (count, rows) of each prediction.
struct Predictions {
  std::vector<double> probability, entropy;
};

Predictions predictions_of(std::span<const float> logits, int classes) {
  Predictions result;
  const std::size_t width = static_cast<std::size_t>(classes), rows = logits.size() / width;
  result.probability.resize(logits.size());
  result.entropy.resize(rows);
  for (std::size_t row = 0; row < rows; ++row) {
    double* p = result.probability.data() + row * width;
    probabilities(logits.data() + row * width, classes, p);
    for (std::size_t c = 0; c < width; ++c) result.entropy[row] += entropy_term(p[c]);
  }
  return result;
}

}  // namespace

std::vector<std::int32_t> predicted_classes(std::span<const float> logits, int classes) {
  const auto width = static_cast<std::size_t>(classes);
  check(classes > 0 && logits.size() % width == 0, "predicted_classes", "got ", logits.size(), " logits for ", classes,
        " classes");
  std::vector<std::int32_t> predicted(logits.size() / width);
  for (std::size_t row = 0; row < predicted.size(); ++row) {
    const float* first = logits.data() + row * width;
    predicted[row] = static_cast<std::int32_t>(std::max_element(first, first + classes) - first);
  }
  return predicted;
}

double accuracy(std::span<const std::int32_t> predicted, std::span<const std::int32_t> label) {
  check(!label.empty() && predicted.size() == label.size(), "accuracy", "got ", predicted.size(), " predictions and ",
        label.size(), " labels");
  std::int64_t correct = 0;
  for (std::size_t row = 0; row < label.size(); ++row) correct += predicted[row] == label[row];
  return static_cast<double>(correct) / static_cast<double>(label.size());
}

std::vector<double> row_divergence(std::span<const float> original, std::span<const float> edited, int classes) {
  const auto width = static_cast<std::size_t>(classes);
  check(classes > 0 && original.size() == edited.size() && original.size() % width == 0, "row_divergence", "got ",
        original.size(), " and ", edited.size(), " logits for ", classes, " classes");
  std::vector<double> divergence(original.size() / width), p(width), q(width);
  for (std::size_t row = 0; row < divergence.size(); ++row) {
    probabilities(original.data() + row * width, classes, p.data());
    probabilities(edited.data() + row * width, classes, q.data());
    double sum = 0.0;
    for (std::size_t c = 0; c < width; ++c) {
      const double middle = 0.5 * (p[c] + q[c]);
      if (p[c] > 0.0) sum += p[c] * std::log(p[c] / middle);
      if (q[c] > 0.0) sum += q[c] * std::log(q[c] / middle);
    }
    divergence[row] = std::max(0.0, 0.5 * sum);
  }
  return divergence;
}

std::vector<double> cross_divergence(std::span<const float> first, std::int64_t first_count,
                                     std::span<const float> second, std::int64_t second_count, int classes) {
  const std::int64_t row_size = std::max<std::int64_t>(1, first_count) * classes;
  const std::int64_t rows = static_cast<std::int64_t>(first.size()) / row_size;
  check(first_count > 0 && second_count > 0 && rows > 0 &&
            static_cast<std::int64_t>(first.size()) == first_count * rows * classes &&
            static_cast<std::int64_t>(second.size()) == second_count * rows * classes,
        "cross_divergence", "got ", first.size(), " logits of ", first_count, " networks and ", second.size(), " of ",
        second_count);
  const Predictions a = predictions_of(first, classes), b = predictions_of(second, classes);
  std::vector<double> mean(static_cast<std::size_t>(first_count * second_count));
  parallel_for(first_count * second_count, [&](std::int64_t pair) {
    const std::int64_t i = pair / second_count, j = pair % second_count;
    const double *p = a.probability.data() + i * rows * classes, *q = b.probability.data() + j * rows * classes;
    const double *entropy_p = a.entropy.data() + i * rows, *entropy_q = b.entropy.data() + j * rows;
    double sum = 0.0;
    for (std::int64_t row = 0; row < rows; ++row) {
      double middle = 0.0;
      for (int c = 0; c < classes; ++c) middle += entropy_term(0.5 * (p[row * classes + c] + q[row * classes + c]));
      sum += std::max(0.0, middle - 0.5 * (entropy_p[row] + entropy_q[row]));
    }
    mean[static_cast<std::size_t>(pair)] = sum / static_cast<double>(rows);
  });
  return mean;
}

}  // namespace amend
