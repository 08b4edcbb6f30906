#include "test/support/subject_oracle.hpp"

#include <algorithm>
#include <cmath>

namespace amend::test {

SubjectOracle::SubjectOracle(const SubjectNetwork& network, const double* x, const std::vector<double>& shift)
    : network_(network) {
  activation.emplace_back(x, x + network.widths.front());
  slope.emplace_back(activation[0].size(), 1.0);
  for (int layer = 0; layer < network.layers(); ++layer) {
    const std::vector<double>& source = activation.back();
    const int out = network.widths[static_cast<std::size_t>(layer) + 1];
    std::vector<double> a, d;
    for (int i = 0; i < out; ++i) {
      double pre = network.biases[static_cast<std::size_t>(network.bias_offset(layer) + i)];
      if (layer == 0 && !shift.empty()) pre += shift[static_cast<std::size_t>(i)];
      for (std::size_t j = 0; j < source.size(); ++j)
        pre += source[j] * network.weights[static_cast<std::size_t>(network.weight_offset(layer)) +
                                           static_cast<std::size_t>(i) * source.size() + j];
      const double s = 1.0 / (1.0 + std::exp(-pre)), t = std::tanh(pre);
      double value = pre, derivative = 1.0;
      if (layer + 1 < network.layers()) switch (network.activation) {
          case Activation::relu: value = std::max(pre, 0.0), derivative = pre > 0.0; break;
          case Activation::tanh: value = t, derivative = 1.0 - t * t; break;
          case Activation::silu: value = pre * s, derivative = s + pre * s * (1.0 - s); break;
          case Activation::sigmoid: value = s, derivative = s * (1.0 - s); break;
        }
      a.push_back(value);
      d.push_back(derivative);
    }
    activation.push_back(a);
    slope.push_back(d);
  }
}

std::vector<std::vector<double>> SubjectOracle::gradient(const std::vector<double>& seed) const {
  std::vector<std::vector<double>> result(activation.size());
  result.back() = seed;
  for (int layer = network_.layers() - 1; layer >= 0; --layer) {
    const auto l = static_cast<std::size_t>(layer);
    const std::size_t in = activation[l].size();
    result[l].assign(in, 0.0);
    for (std::size_t i = 0; i < result[l + 1].size(); ++i)
      for (std::size_t j = 0; j < in; ++j)
        result[l][j] += result[l + 1][i] * slope[l][j] *
                        network_.weights[static_cast<std::size_t>(network_.weight_offset(layer)) + i * in + j];
  }
  return result;
}

std::vector<double> softmax(const std::vector<double>& logits) {
  const double largest = *std::max_element(logits.begin(), logits.end());
  std::vector<double> p;
  double sum = 0.0;
  for (double z : logits) sum += p.emplace_back(std::exp(z - largest));
  for (double& value : p) value /= sum;
  return p;
}

}  // namespace amend::test
