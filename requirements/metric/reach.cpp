#include "requirements/metric/reach.hpp"

namespace amend {
namespace {

NeuronMarks no_marks(const SubjectNetwork& network) {
  NeuronMarks marks;
  for (int width : network.widths) marks.emplace_back(static_cast<std::size_t>(width), std::uint8_t{0});
  return marks;
}

/// Calls `body(target, source)` for every non-zero weight of a layer.
template <class Body>
void for_each_connection(const SubjectNetwork& network, int layer, const Body& body) {
  const auto cols = static_cast<std::size_t>(network.widths[static_cast<std::size_t>(layer)]);
  const auto rows = static_cast<std::size_t>(network.widths[static_cast<std::size_t>(layer) + 1]);
  const float* weight = network.weights.data() + network.weight_offset(layer);
  for (std::size_t i = 0; i < rows; ++i)
    for (std::size_t j = 0; j < cols; ++j)
      if (weight[i * cols + j] != 0.0f) body(i, j);
}

}  // namespace

NeuronMarks reaching_output(const SubjectNetwork& network) {
  NeuronMarks marks = no_marks(network);
  marks.back().assign(marks.back().size(), 1);
  for (int layer = network.layers() - 1; layer >= 0; --layer) {
    const auto source = static_cast<std::size_t>(layer);
    for_each_connection(network, layer,
                        [&](std::size_t i, std::size_t j) { marks[source][j] |= marks[source + 1][i]; });
  }
  return marks;
}

NeuronMarks reached_from_input(const SubjectNetwork& network) {
  NeuronMarks marks = no_marks(network);
  marks.front().assign(marks.front().size(), 1);
  for (int layer = 0; layer < network.layers(); ++layer) {
    const auto source = static_cast<std::size_t>(layer);
    for_each_connection(network, layer,
                        [&](std::size_t i, std::size_t j) { marks[source + 1][i] |= marks[source][j]; });
  }
  return marks;
}

}  // namespace amend
