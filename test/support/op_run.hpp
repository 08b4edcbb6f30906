#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "autograd/tape.hpp"
#include "test/support/random_networks.hpp"

namespace amend::test {

/// Builds operations on the tape from the inputs and returns some results.
using TapeProgram = std::function<std::vector<Variable>(Tape&, const std::vector<Variable>& inputs)>;

/// What a program produced, copied out of the tape.
struct OpRun {
  std::vector<Tensor> outputs;
  std::vector<Tensor> gradients;  // of the inputs
};

/// Runs `program` on leaves of `dtype` and sends `grad_outputs` (converted to `dtype`; absent ones are not sent) back.
/// Gradients start at zero.
OpRun run_op(const std::vector<Tensor>& inputs, DType dtype, const TapeProgram& program,
             const std::vector<Tensor>& grad_outputs);

/// Same number of outputs and gradients, each with the same bits.
bool same_bits(const OpRun& a, const OpRun& b);

/// A random projection of two results to one number, for gradcheck of operations with several results.
Variable project(Tape& tape, const std::vector<Variable>& results, std::uint64_t seed);

/// Whether `got` lies within the tolerance named `entry` of `expected`; the magnitude is the largest of `expected`.
bool close(std::string_view entry, const TensorView& got, const std::vector<double>& expected);

/// Whether every gradient in float32 lies within the tolerance of the one in float64.
bool gradients_close(std::string_view entry, const OpRun& float32, const OpRun& float64);

/// The message of the Error that `action` throws, empty when it throws none.
template <class Action>
std::string error_of(const Action& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

/// The message of the Error that `program` throws on constants as they are, each of its own type.
std::string error_of_constants(const std::vector<Tensor>& inputs, const TapeProgram& program);

/// A matrix of doubles read by row and column.
struct Matrix {
  std::vector<double> data;
  std::int64_t width;

  explicit Matrix(const TensorView& x) : data(values(x)), width(x.extent(x.shape.rank() - 1)) {}
  Matrix(std::int64_t rows, std::int64_t columns) : data(static_cast<std::size_t>(rows * columns)), width(columns) {}
  double operator()(std::int64_t row, std::int64_t column) const {
    return data[static_cast<std::size_t>(row * width + column)];
  }
  double& operator()(std::int64_t row, std::int64_t column) {
    return data[static_cast<std::size_t>(row * width + column)];
  }
};

/// Widths of networks whose blocks go to extremes: one weight, one layer, four layers, several chunks.
inline const std::vector<std::vector<int>> kRagged = {{5, 1, 1, 2}, {5, 2}, {5, 7, 4, 3, 2}, {5, 90, 70, 2}, {5, 6, 2}};
/// The same without the large blocks, for finite differences.
inline const std::vector<std::vector<int>> kRaggedSmall = {{5, 1, 1, 2}, {5, 2}, {5, 4, 3, 3, 2}, {5, 6, 2}};

}  // namespace amend::test
