#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "bench/measure/case.hpp"
#include "bench/measure/workload.hpp"
#include "engine/arena.hpp"
#include "kernels/edge_embed.hpp"
#include "metanet/graph/graph_batch.hpp"

namespace amend::bench {

/// The tensors of a kernel's case, built by the host and copied to the device of a stream: random networks of one shape
/// and random values. The float64 tensors of a case hold the values of the float32 ones.
class CaseInputs {
 public:
  CaseInputs(DType dtype, const std::vector<int>& widths, int networks, Stream stream);

  /// For kernels.
  const kernels::BlockTable& table() const { return graph_.device_table(); }
  Stream stream() const { return stream_; }
  DType dtype() const { return dtype_; }
  std::int64_t inputs() const { return graph_.inputs(); }
  std::int64_t outputs() const { return graph_.outputs(); }

  TensorView zeros(Shape shape) { return zeros(shape, dtype_); }
  TensorView zeros(Shape shape, DType dtype);
  TensorView normal(Shape shape, double scale = 1.0, double shift = 0.0) { return normal(shape, scale, shift, dtype_); }
  TensorView normal(Shape shape, double scale, double shift, DType dtype);
  /// A tensor in host memory, brought to the device.
  TensorView put(const Tensor& host);
  const std::int64_t* put(std::span<const std::int64_t> values);

  /// Of all tensors.
  std::size_t bytes() const;

  TensorView weight, bias;  // (edges), (nodes) of the networks

 private:
  DType dtype_;
  Stream stream_;
  Arena arena_;
  GraphBatch graph_;
  std::vector<Tensor> tensors_;
  std::uint32_t seed_ = 0;
};

/// The embedding of the features of the networks' weights, random, into `d` channels.
kernels::EdgeEmbed edge_embed_of(CaseInputs& in, std::int64_t d, const TensorView& out);

/// Sets all elements of a host tensor, of float32, float64 or bfloat16, to scale * normal + shift; `sequence` names the
/// random numbers.
void fill_normal(const TensorView& host, std::uint64_t seed, std::uint32_t sequence, double scale, double shift);

template <class Body>
Case finish(std::shared_ptr<CaseInputs> inputs, std::vector<TensorView> outputs, Body body) {
  const std::size_t bytes = inputs->bytes();
  const Stream stream = inputs->stream();
  return {.keep = std::move(inputs),
          .run = std::move(body),
          .outputs = std::move(outputs),
          .memory = bytes,
          .stream = stream};
}

}  // namespace amend::bench
