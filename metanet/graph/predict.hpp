#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "engine/device.hpp"
#include "metanet/data/subject_network.hpp"

namespace amend {

/// Logits of networks `first` .. `first + count - 1`: (count, rows, classes), valid during the call only.
struct PredictedChunk {
  std::int64_t first;
  std::int64_t count;
  std::span<const float> logits;
};

/// Evaluates networks of any shapes on the same rows, on `device` in float32, in chunks of whole networks of about
/// `chunk_bytes` of logits, and hands each chunk to `receive` in order. input (rows, inputs), in host memory. Throws
/// Error when a network's inputs are not `inputs` or the networks' numbers of outputs differ.
void predict_in_chunks(std::span<const SubjectNetwork* const> networks, const float* input, std::int64_t rows,
                       int inputs, const std::function<void(const PredictedChunk&)>& receive, Device device = {},
                       std::int64_t chunk_bytes = std::int64_t{32} << 20);

/// All logits at once: (networks, rows, classes).
std::vector<float> predict_logits(std::span<const SubjectNetwork* const> networks, const float* input,
                                  std::int64_t rows, int inputs, Device device = {});

/// Pointers to the elements of a vector of networks, in order.
std::vector<const SubjectNetwork*> pointers_to(std::span<const SubjectNetwork> networks);

}  // namespace amend
