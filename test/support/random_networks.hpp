#pragma once

#include <cstdint>
#include <vector>

#include "engine/parallel.hpp"
#include "engine/tensor.hpp"
#include "metanet/data/subject_network.hpp"
#include "metanet/graph/graph_batch.hpp"

namespace amend::test {

/// Normal weights of variance 2 / (inputs of the layer), normal biases of deviation 0.3.
SubjectNetwork random_network(const std::vector<int>& widths, Activation activation, std::uint64_t seed);

/// Networks, their graph, and their parameters as tensors.
struct RandomBatch {
  std::vector<SubjectNetwork> networks;
  GraphBatch graph;
  Tensor weight;  // (edges)
  Tensor bias;    // (nodes)

  const kernels::BlockTable& table() const { return graph.table(); }
};

RandomBatch make_batch(std::vector<SubjectNetwork> networks, DType dtype);
/// Network b has `widths[b]`; seed and b give its weights.
RandomBatch random_batch(const std::vector<std::vector<int>>& widths, Activation activation, DType dtype,
                         std::uint64_t seed);

/// Normal numbers of mean `shift`. The float64 tensor of a seed holds the same values as the float32 one.
Tensor random_tensor(Shape shape, DType dtype, std::uint64_t seed, double scale = 1.0, double shift = 0.0);
/// Integers in {0, ..., bound - 1}.
Tensor random_integers(Shape shape, std::int32_t bound, std::uint64_t seed);
/// Rows of features side by side: one of width 1 is a normal number, a wider one a one among zeros.
Tensor one_hot_rows(std::int64_t rows, const std::vector<std::int64_t>& widths, DType dtype, std::uint64_t seed);
/// A copy with another element type.
Tensor convert(const TensorView& x, DType dtype);

/// The elements as double, whatever the type.
std::vector<double> values(const TensorView& x);
/// A tensor of these elements.
Tensor make_tensor(Shape shape, DType dtype, const std::vector<double>& elements);
/// Same shape, type and bits.
bool same_bits(const TensorView& a, const TensorView& b);
/// Largest absolute value; 0 for no elements.
double largest(const std::vector<double>& x);
/// Largest absolute difference; infinity when sizes differ or either holds a NaN.
double largest_difference(const std::vector<double>& a, const std::vector<double>& b);
/// The mean of their absolute differences.
double mean_difference(const std::vector<double>& a, const std::vector<double>& b);

using amend::ThreadCount;

}  // namespace amend::test
