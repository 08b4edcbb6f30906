#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "autograd/tape.hpp"
#include "engine/tensor.hpp"

namespace amend::test {

/// Builds operations on the tape from the inputs and returns one output of any shape.
using TapeFunction = std::function<Variable(Tape&, const std::vector<Variable>& inputs)>;

struct GradientCheckOptions {
  std::uint64_t seed = 1;           // of the projection, and of the elements that are checked
  std::int64_t max_elements = 200;  // of each input
  double step = 1e-5;               // relative to max(1, |element|)
};

/// What the worst element looked like.
struct GradientCheck {
  bool ok = true;
  double worst = 0.0;  // difference / magnitude
  std::string message;
};

/// Compares the tape's gradients with central differences in float64. The scalar is a random projection of the output;
/// the error is held against the largest gradient of that input and the largest term of the scalar. `inputs` are
/// float64 and their values are restored.
GradientCheck gradcheck(const std::vector<Tensor>& inputs, const TapeFunction& function,
                        const GradientCheckOptions& options = {});

}  // namespace amend::test
