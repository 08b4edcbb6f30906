#include "requirements/metric/sparsity.hpp"

#include <algorithm>

#include "requirements/metric/reach.hpp"

namespace amend {

Sparsity sparsity(const SubjectNetwork& network) {
  Sparsity result;
  result.weights = static_cast<std::int64_t>(network.weights.size());
  result.nonzero_weights = result.weights - std::count(network.weights.begin(), network.weights.end(), 0.0f);
  result.nonzero_share =
      result.weights == 0 ? 0.0 : static_cast<double>(result.nonzero_weights) / static_cast<double>(result.weights);
  const auto biases = static_cast<std::int64_t>(network.biases.size());
  result.dense_bytes = 4 * (result.weights + biases);
  result.sparse_bytes = 8 * result.nonzero_weights + 4 * biases;
  result.dense_flops = 2 * result.weights;
  result.sparse_flops = 2 * result.nonzero_weights;
  const NeuronMarks forward = reached_from_input(network), backward = reaching_output(network);
  for (std::size_t layer = 1; layer + 1 < network.widths.size(); ++layer) {
    result.hidden_neurons += network.widths[layer];
    for (std::size_t i = 0; i < forward[layer].size(); ++i)
      result.live_neurons += forward[layer][i] && backward[layer][i];
  }
  return result;
}

}  // namespace amend
