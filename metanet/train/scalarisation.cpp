#include "metanet/train/scalarisation.hpp"

#include <algorithm>
#include <cmath>

#include "autograd/op/cross_entropy.hpp"
#include "autograd/op/reduce.hpp"
#include "kernels/column.hpp"
#include "kernels/fill.hpp"

namespace amend {

namespace {

constexpr double kTemperature = 0.02;
/// Added to the logit of a requirement that is off: its exponential is 0 beside any other, and no sum with it
/// overflows.
constexpr double kOff = -1e9;

TensorView row(const TensorView& matrix, std::int64_t index) {
  return reshape(slice_rows(matrix, index, 1), {matrix.extent(1)});
}

}  // namespace

std::string to_string(Scalarisation scalarisation) {
  switch (scalarisation) {
    case Scalarisation::linear: return "linear";
    case Scalarisation::chebyshev: return "chebyshev";
  }
  fail("scalarisation", "unknown kind");
}

double chebyshev_temperature(std::span<const double> lambda) {
  double log_sum = 0.0;
  int on = 0;
  for (const double value : lambda)
    if (value > 0.0) {
      log_sum += std::log(value);
      ++on;
    }
  return kTemperature * (on ? std::exp(log_sum / on) : 1.0);
}

double scalarise(Scalarisation scalarisation, double divergence, std::span<const double> lambda,
                 std::span<const double> requirement) {
  double sum = divergence, largest = divergence;
  for (std::size_t r = 0; r < lambda.size(); ++r) {
    const double term = lambda[r] * requirement[r];
    sum += term;
    if (lambda[r] > 0.0) largest = std::max(largest, term);
  }
  if (scalarisation == Scalarisation::linear) return sum;
  const double temperature = chebyshev_temperature(lambda);
  double exponentials = std::exp((divergence - largest) / temperature);
  for (std::size_t r = 0; r < lambda.size(); ++r)
    if (lambda[r] > 0.0) exponentials += std::exp((lambda[r] * requirement[r] - largest) / temperature);
  return largest + temperature * std::log(exponentials) + kChebyshevAugmentation * sum;
}

ChebyshevScales stage_chebyshev(std::span<const double> lambda, std::size_t requirements, Arena& arena, DType dtype) {
  const std::size_t terms = 1 + requirements, networks = lambda.size() / requirements;
  const auto rows = static_cast<std::int64_t>(terms), columns = static_cast<std::int64_t>(networks);
  const Arena::Staged weight = arena.stage({rows, columns}, dtype), sharpness = arena.stage({rows, columns}, dtype),
                      offset = arena.stage({rows, columns}, dtype), temperature = arena.stage({columns}, dtype),
                      label = arena.stage({columns, 1}, DType::int32);
  const auto put = [dtype](const Arena::Staged& staged, std::size_t index, double value) {
    if (dtype == DType::float64)
      staged.host.as<double>()[index] = value;
    else
      staged.host.as<float>()[index] = static_cast<float>(value);
  };
  for (std::size_t n = 0; n < networks; ++n) {
    const auto own = lambda.subspan(n * requirements, requirements);
    const double t = chebyshev_temperature(own);
    put(temperature, n, t);
    label.host.as<std::int32_t>()[n] = 0;
    for (std::size_t i = 0; i < terms; ++i) {
      const double value = i == 0 ? 1.0 : own[i - 1];
      put(weight, i * networks + n, value);
      put(sharpness, i * networks + n, value / t);
      put(offset, i * networks + n, value > 0.0 ? 0.0 : kOff);
    }
  }
  return {weight.device, sharpness.device, offset.device, temperature.device, label.device};
}

Variable add_chebyshev(Tape& tape, Tape& inner, Variable total, std::span<const Variable> terms,
                       const ChebyshevScales& scales, const TensorView& coefficient, const TensorView& slope) {
  const Stream stream = tape.stream();
  const auto count = static_cast<std::int64_t>(terms.size());
  const std::int64_t networks = coefficient.count();
  const auto filled = [&](Shape shape, double value) {
    const TensorView view = tape.arena().tensor(shape, coefficient.dtype);
    kernels::fill({.y = view, .value = value}, stream);
    return view;
  };
  const auto add = [&](const TensorView& x, double scale, const TensorView& y) {
    kernels::accumulate({.x = x, .scale = scale, .y = y}, stream);
  };
  const auto multiply = [&](const TensorView& x, const TensorView& y) { kernels::multiply({.x = x, .y = y}, stream); };
  // With logits z = t / T, log sum exp(z) is z_0 plus the cross-entropy of class 0, whose derivative by z is the
  // softmax minus 1 at class 0. Found on the inner tape, it becomes the derivative by the terms, which are on the outer
  // one.
  const TensorView logits = filled({networks, count}, 0.0), grad = filled({networks, count}, 0.0),
                   sum = filled({networks}, 0.0), value = filled({networks}, 0.0), ones = filled({networks}, 1.0);
  for (std::int64_t i = 0; i < count; ++i) {
    const TensorView z = filled({networks}, 0.0);
    add(terms[static_cast<std::size_t>(i)].value(), 1.0, z);
    multiply(row(scales.sharpness, i), z);
    add(z, 1.0, sum);
    if (i == 0) add(z, 1.0, value);
    add(row(scales.offset, i), 1.0, z);
    kernels::write_column({.matrix = logits, .column = i, .vector = z}, stream);
  }
  const Shape one_row{networks, 1, count};
  const Variable entropy =
      op::cross_entropy(inner, inner.leaf(reshape(logits, one_row), reshape(grad, one_row)), scales.label);
  inner.backward(entropy, ones);
  add(entropy.value(), 1.0, value);
  add(sum, kChebyshevAugmentation, value);
  multiply(scales.temperature, value);
  const Variable part = op::weighted_sum(tape, tape.constant(value), coefficient);
  total = total ? op::add(tape, total, part) : part;
  for (std::int64_t i = 0; i < count; ++i) {
    const TensorView own = row(slope, i);
    kernels::read_column({.matrix = grad, .column = i, .vector = own}, stream);
    add(ones, i == 0 ? 1.0 + kChebyshevAugmentation : kChebyshevAugmentation, own);
    multiply(row(scales.weight, i), own);
    multiply(coefficient, own);
    total = op::attach_gradient(tape, total, terms[static_cast<std::size_t>(i)], own);
  }
  return total;
}

}  // namespace amend
