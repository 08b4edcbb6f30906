#include "metanet/graph/predict.hpp"

#include <algorithm>

#include "engine/tensor.hpp"
#include "kernels/subject_forward.hpp"
#include "metanet/graph/graph_batch.hpp"

namespace amend {

void predict_in_chunks(std::span<const SubjectNetwork* const> networks, const float* input, std::int64_t rows,
                       int inputs, const std::function<void(const PredictedChunk&)>& receive,
                       std::int64_t chunk_bytes) {
  if (networks.empty()) return;
  const std::int64_t classes = networks.front()->widths.back();
  for (const SubjectNetwork* network : networks) {
    check(network->widths.front() == inputs, "predict", "network `", network->name, "` has ", network->widths.front(),
          " inputs, the data have ", inputs);
    check(network->widths.back() == classes, "predict", "network `", network->name, "` has ", network->widths.back(),
          " outputs, others have ", classes);
  }
  const auto total = static_cast<std::int64_t>(networks.size());
  const std::int64_t network_bytes =
      std::max<std::int64_t>(rows * classes * static_cast<std::int64_t>(sizeof(float)), 1);
  const std::int64_t chunk = std::clamp<std::int64_t>(chunk_bytes / network_bytes, 1, total);
  Tensor logits({chunk, rows, classes}, DType::float32);
  // Kernels take mutable views of everything; this one only reads x.
  const TensorView x{const_cast<float*>(input), {rows, inputs}, DType::float32, Device::cpu()};
  for (std::int64_t first = 0; first < total; first += chunk) {
    const std::int64_t count = std::min(chunk, total - first);
    const auto part = networks.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count));
    const GraphBatch batch(part);
    Tensor weight({batch.table().edge_count}, DType::float32), bias({batch.table().node_count}, DType::float32);
    batch.gather(part, weight, bias);
    const TensorView out = slice_rows(logits, 0, count);
    if (rows > 0)
      kernels::subject_forward({.table = batch.table(), .weight = weight, .bias = bias, .x = x, .logits = out},
                               Stream());
    receive({first, count, {out.as<float>(), static_cast<std::size_t>(out.count())}});
  }
}

std::vector<float> predict_logits(std::span<const SubjectNetwork* const> networks, const float* input,
                                  std::int64_t rows, int inputs) {
  std::vector<float> logits;
  if (networks.empty()) return logits;
  logits.reserve(networks.size() * static_cast<std::size_t>(rows * networks.front()->widths.back()));
  predict_in_chunks(networks, input, rows, inputs, [&](const PredictedChunk& chunk) {
    logits.insert(logits.end(), chunk.logits.begin(), chunk.logits.end());
  });
  return logits;
}

std::vector<const SubjectNetwork*> pointers_to(std::span<const SubjectNetwork> networks) {
  std::vector<const SubjectNetwork*> pointers;
  for (const SubjectNetwork& network : networks) pointers.push_back(&network);
  return pointers;
}

}  // namespace amend
