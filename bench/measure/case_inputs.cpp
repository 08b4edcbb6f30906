#include "bench/measure/case_inputs.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/bfloat16.hpp"
#include "engine/copy.hpp"
#include "engine/parallel.hpp"
#include "engine/random.hpp"

namespace amend::bench {

void fill_normal(const TensorView& host, std::uint64_t seed, std::uint32_t sequence, double scale, double shift) {
  constexpr std::int64_t kPiece = 1 << 16;
  const RandomStream random(seed, sequence);
  const std::int64_t count = host.count();
  parallel_for((count + kPiece - 1) / kPiece, [&](std::int64_t piece) {
    const std::int64_t last = std::min(count, (piece + 1) * kPiece);
    for (std::int64_t i = piece * kPiece; i < last; ++i) {
      const auto value =
          static_cast<float>(scale * static_cast<double>(random.normal(static_cast<std::uint64_t>(i))) + shift);
      switch (host.dtype) {
        case DType::float64: host.as<double>()[i] = static_cast<double>(value); break;
        case DType::bfloat16: host.as<BFloat16>()[i] = BFloat16(value); break;
        default: host.as<float>()[i] = value;
      }
    }
  });
}

CaseInputs::CaseInputs(DType dtype, const std::vector<int>& widths, int networks, Stream stream)
    : dtype_(dtype), stream_(stream), arena_(stream.device()) {
  const auto subjects = random_networks(widths, networks);
  const auto pointers = pointers_to(subjects);
  graph_.assign(pointers);
  graph_.stage(arena_);
  arena_.upload(stream_);
  const Tensor host_weight({graph_.table().edge_count}, dtype), host_bias({graph_.table().node_count}, dtype);
  graph_.gather(pointers, host_weight, host_bias);
  weight = put(host_weight);
  bias = put(host_bias);
}

TensorView CaseInputs::zeros(Shape shape, DType dtype) {
  tensors_.emplace_back(shape, dtype, stream_.device());
  return tensors_.back();
}

TensorView CaseInputs::normal(Shape shape, double scale, double shift, DType dtype) {
  const Tensor host(shape, dtype);
  fill_normal(host, 29, ++seed_, scale, shift);
  return put(host);
}

TensorView CaseInputs::put(const Tensor& host) {
  if (!stream_.device().is_cuda()) return tensors_.emplace_back(host);
  const Tensor& device = tensors_.emplace_back(host.view().shape, host.view().dtype, stream_.device());
  copy(device, host, stream_);
  return device;
}

const std::int64_t* CaseInputs::put(std::span<const std::int64_t> values) {
  const Staging::Bytes memory = arena_.stage(values.size_bytes());
  std::copy(values.begin(), values.end(), static_cast<std::int64_t*>(memory.host));
  arena_.upload(stream_);
  return static_cast<const std::int64_t*>(memory.device);
}

std::size_t CaseInputs::bytes() const {
  std::size_t sum = 0;
  for (const Tensor& tensor : tensors_) sum += tensor.view().bytes();
  return sum;
}

double relative_difference(const TensorView& narrow, const TensorView& wide) {
  double difference = 0.0, size = 1e-30;
  for (std::int64_t i = 0; i < wide.count(); ++i) {
    const double exact = wide.as<double>()[i];
    const double value = narrow.dtype == DType::bfloat16
                             ? static_cast<double>(static_cast<float>(narrow.as<BFloat16>()[i]))
                             : static_cast<double>(narrow.as<float>()[i]);
    if (!std::isfinite(value)) return value;
    difference = std::max(difference, std::abs(value - exact));
    size = std::max(size, std::abs(exact));
  }
  return difference / size;
}

double error_of(const Family& family, Stream stream) {
  if (family.error) return family.error(stream.device());
  if (!family.comparable) return -1.0;
  const Case narrow = family.make(DType::float32, kComparedNetworks, stream),
             wide = family.make(DType::float64, kComparedNetworks, Stream());
  narrow.run();
  wide.run();
  double worst = 0.0;
  for (std::size_t k = 0; k < wide.outputs.size(); ++k) {
    const Tensor got = host_copy(narrow.outputs[k], stream);
    const double difference = relative_difference(got, wide.outputs[k]);
    if (!std::isfinite(difference)) return std::numeric_limits<double>::infinity();
    worst = std::max(worst, difference);
  }
  return worst;
}

kernels::EdgeEmbed edge_embed_of(CaseInputs& in, std::int64_t d, const TensorView& out) {
  const kernels::BlockTable& table = in.table();
  const kernels::FirstEdgeFeatures first{.weight = in.weight,
                                         .fisher = in.normal({table.edge_count}, 0.005, 0.1),
                                         .rms = in.normal({table.node_count}, 0.05, 1.0),
                                         .energy = in.normal({table.node_count}, 0.05, 1.0),
                                         .scales = in.normal({table.block_count, kernels::kEdgeScales}, 0.05, 1.0)};
  return {.table = table,
          .input = {.first = first},
          .weight = in.normal({d, kernels::kEdgeFeatures}, 0.1),
          .bias = in.normal({d}),
          .out = out};
}

}  // namespace amend::bench
