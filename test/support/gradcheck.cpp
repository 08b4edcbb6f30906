#include "test/support/gradcheck.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/random.hpp"
#include "test/support/random_networks.hpp"
#include "test/support/tolerance.hpp"

namespace amend::test {

GradientCheck gradcheck(const std::vector<Tensor>& inputs, const TapeFunction& function,
                        const GradientCheckOptions& options) {
  const ThreadCount one(1);  // thousands of small steps: starting threads would be most of the work
  Arena arena;
  Tape tape(arena, Stream{});
  std::vector<Tensor> gradients;
  Tensor projection;
  {
    std::vector<Variable> leaves;
    for (const Tensor& input : inputs) {
      check(input.view().dtype == DType::float64, "gradcheck", "expected float64 inputs");
      gradients.emplace_back(input.view().shape, DType::float64);
      leaves.push_back(tape.leaf(input, gradients.back()));
    }
    const Variable output = function(tape, leaves);
    projection = random_tensor(output.shape(), DType::float64, options.seed);
    tape.backward(output, projection);
    tape.reset();
  }
  double terms = 0.0;
  const auto scalar = [&] {
    tape.set_recording(false);
    std::vector<Variable> constants;
    for (const Tensor& input : inputs) constants.push_back(tape.constant(input));
    const Variable output = function(tape, constants);
    double sum = 0.0;
    for (std::int64_t i = 0; i < projection.count(); ++i) {
      const double term = projection.as<double>()[i] * output.value().as<double>()[i];
      sum += term;
      terms = std::max(terms, std::fabs(term));
    }
    tape.reset();
    return sum;
  };

  GradientCheck result;
  const RandomStream pick(options.seed, 5);
  for (std::size_t n = 0; n < inputs.size(); ++n) {
    double* value = inputs[n].as<double>();
    const std::int64_t count = inputs[n].count();
    const double magnitude_of_gradient = largest(values(gradients[n]));
    for (std::int64_t k = 0; k < std::min(count, options.max_elements); ++k) {
      const std::int64_t i = count <= options.max_elements
                                 ? k
                                 : pick.below(static_cast<std::uint64_t>(k), static_cast<std::uint32_t>(count));
      const double before = value[i], step = options.step * std::max(1.0, std::fabs(before));
      value[i] = before + step;
      const double above = scalar();
      value[i] = before - step;
      const double below = scalar();
      value[i] = before;
      const double expected = (above - below) / (2.0 * step), got = gradients[n].as<double>()[i];
      const double magnitude = std::max({magnitude_of_gradient, terms, std::numeric_limits<double>::min()});
      const double difference = std::fabs(expected - got);
      if (difference <= tolerance("gradcheck", DType::float64, magnitude) && difference / magnitude <= result.worst)
        continue;
      result.worst = std::isnan(difference) ? difference : std::max(result.worst, difference / magnitude);
      result.ok = result.ok && difference <= tolerance("gradcheck", DType::float64, magnitude);
      result.message = detail::join("input ", n, " element ", i, ": tape ", got, ", differences ", expected);
    }
  }
  return result;
}

}  // namespace amend::test
