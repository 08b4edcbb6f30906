#include "metanet/graph/predict.hpp"

#include <algorithm>

#include "engine/copy.hpp"
#include "engine/stream_owner.hpp"
#include "kernels/subject_forward.hpp"
#include "metanet/graph/graph_batch.hpp"

namespace amend {

void predict_in_chunks(std::span<const SubjectNetwork* const> networks, const float* input, std::int64_t rows,
                       int inputs, const std::function<void(const PredictedChunk&)>& receive, Device device,
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
  const StreamOwner stream(device);
  Tensor logits({chunk, rows, classes}, DType::float32), results;
  // Kernels take mutable views of everything; this one only reads x.
  TensorView x{const_cast<float*>(input), {rows, inputs}, DType::float32, Device::cpu()};
  Tensor device_x;
  if (device.is_cuda()) {
    results = Tensor(logits.view().shape, DType::float32, device);
    device_x = Tensor(x.shape, DType::float32, device);
    copy(device_x, x, stream);
    x = device_x;
  } else {
    results = logits;
  }
  Arena arena(device, std::size_t{1} << 16);
  for (std::int64_t first = 0; first < total; first += chunk) {
    const std::int64_t count = std::min(chunk, total - first);
    const auto part = networks.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count));
    arena.reset();
    GraphBatch batch(part);
    batch.stage(arena);
    const Arena::Staged weight = arena.stage({batch.table().edge_count}, DType::float32),
                        bias = arena.stage({batch.table().node_count}, DType::float32);
    batch.gather(part, weight.host, bias.host);
    arena.upload(stream);
    const TensorView out = slice_rows(logits, 0, count), result = slice_rows(results, 0, count);
    if (rows > 0)
      kernels::subject_forward(
          {.table = batch.device_table(), .weight = weight.device, .bias = bias.device, .x = x, .logits = result},
          stream);
    if (device.is_cuda()) copy(out, result, stream);
    receive({first, count, {out.as<float>(), static_cast<std::size_t>(out.count())}});
  }
}

std::vector<float> predict_logits(std::span<const SubjectNetwork* const> networks, const float* input,
                                  std::int64_t rows, int inputs, Device device) {
  std::vector<float> logits;
  if (networks.empty()) return logits;
  logits.reserve(networks.size() * static_cast<std::size_t>(rows * networks.front()->widths.back()));
  const auto collect = [&](const PredictedChunk& chunk) {
    logits.insert(logits.end(), chunk.logits.begin(), chunk.logits.end());
  };
  predict_in_chunks(networks, input, rows, inputs, collect, device);
  return logits;
}

std::vector<const SubjectNetwork*> pointers_to(std::span<const SubjectNetwork> networks) {
  std::vector<const SubjectNetwork*> pointers;
  for (const SubjectNetwork& network : networks) pointers.push_back(&network);
  return pointers;
}

}  // namespace amend
