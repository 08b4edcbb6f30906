#pragma once

#include <span>
#include <string>

#include "autograd/tape.hpp"

namespace amend {

/// How a network's divergence D (nats) and its requirements R_r, weighted by lambda_r, become the number that training
/// lowers.
enum class Scalarisation {
  linear,     // D + sum_r lambda_r R_r: reaches the convex part of a front
  chebyshev,  // T log sum_i exp(t_i / T) + rho sum_i t_i over t = D and lambda_r R_r of the requirements in force
};
std::string to_string(Scalarisation scalarisation);

/// rho: what makes weakly optimal points lose against optimal ones (Steuer, Choo, *An interactive weighted Tchebycheff
/// procedure for multiple objective programming*, Mathematical Programming 26, 1983).
inline constexpr double kChebyshevAugmentation = 0.05;

/// T of one network, in nats: .02 times the geometric mean of its weights in force, 1 without any. Weights are nats per
/// unit of a requirement, so that terms can be compared as they are, but go over three orders of magnitude: whatever
/// they are, terms that differ by much more than .02 in units of a requirement are told apart. The smooth maximum is
/// that of Lin et al., arXiv 2402.19078. lambda: (requirements).
double chebyshev_temperature(std::span<const double> lambda);

/// The objective of one network. lambda, requirement: (requirements).
double scalarise(Scalarisation scalarisation, double divergence, std::span<const double> lambda,
                 std::span<const double> requirement);

/// What `add_chebyshev` needs of the weights of a batch. Terms are the divergence and then every requirement.
struct ChebyshevScales {
  TensorView weight;       // (terms, networks): 1 and lambda_r
  TensorView sharpness;    // (terms, networks): weight / T
  TensorView offset;       // (terms, networks): 0, and far below all others where the requirement is off
  TensorView temperature;  // (networks): T
  TensorView label;        // (networks, 1) int32: 0
};
/// Stages them in `arena`. lambda (networks, requirements) row-major.
ChebyshevScales stage_chebyshev(std::span<const double> lambda, std::size_t requirements, Arena& arena, DType dtype);

/// Adds sum_b coefficient_b (the Chebyshev objective of network b) to `total` (1), which may be absent. terms: each
/// (networks); coefficient (networks); slope (terms, networks): out, the sum's derivatives by the terms. `inner` is a
/// tape on the same arena with nothing recorded. Nothing comes back to the host.
Variable add_chebyshev(Tape& tape, Tape& inner, Variable total, std::span<const Variable> terms,
                       const ChebyshevScales& scales, const TensorView& coefficient, const TensorView& slope);

}  // namespace amend
