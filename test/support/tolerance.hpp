#pragma once

#include <limits>
#include <stdexcept>
#include <string>
#include <string_view>

#include "engine/tensor.hpp"

namespace amend::test {

/// How far a result may lie from the exact one: `k * epsilon(dtype) * magnitude`. The magnitude is the largest absolute
/// value of the quantity compared, unless the test says otherwise. k stands for the length of the sums (about its
/// square root, random signs) times the conditioning of the formula; an entry that is larger cites the error that was
/// observed.
struct ToleranceEntry {
  std::string_view name;
  double k;
};

inline constexpr ToleranceEntry kTolerances[] = {
    // Central differences in float64 lose two thirds of the digits: epsilon^(2/3) is 1.6e5 epsilon.
    {"gradcheck", 2e7},
    // Three layers of sums of up to 108 products.
    {"subject_forward", 64},
    {"subject_backward", 128},
    // Absolute, of ln 2: every term m * h(t) inherits the error of t from the two softmaxes.
    {"divergence", 16},
    {"group_rates", 32},
    {"rate_gap", 16},
    // Squares double the relative error of the error signal; means over up to 1000 rows.
    {"probe", 256},
    {"cross_entropy", 32},
    {"adamw", 16},
    // Sums of up to a thousand squares in a lane, in float64 whatever the type.
    {"gradient_squares", 16},
    // Message layers: products of 8 to 64 terms, a layer norm, means over up to 90 rows.
    {"edge_update", 256},
    // Against float32: an operand rounded to 11 (8) bits is off by up to 2^12 (2^15) epsilon. Observed with 64
    // channels:
    // 4000 (28000) epsilon.
    {"edge_update_tf32", 8192},
    {"edge_update_bf16", 65536},
    // Twins round alike, but an operand that lies on a boundary may fall to either side: one term of a sum is off by up
    // to 2^13 (2^16) epsilon then. Observed with 16 channels: 600 (4600) epsilon.
    {"edge_update_tf32 twins", 4096},
    {"edge_update_bf16 twins", 16384},
    {"node_update", 256},
    // Two layers, each with the errors of the three kernels; states that are stored as bf16 may be a unit apart, 2^16
    // epsilon.
    {"message_layers", 1024},
    {"message_layers bf16", 65536},
    {"edge_embed", 256},
    // (C W) f is rounded otherwise than C (W f).
    {"edge_embed_update", 512},
    {"edit_head", 128},
    // One product and one sum an element; weight gradients sum over all rows.
    {"linear", 128},
    {"pointwise", 8},
    {"reduce", 32},
    {"embedding", 16},
    // Folds up to 90 weights into a bias.
    {"apply_edit", 64},
    {"edit_step", 8},
    {"gate", 16},
    // One difference; the cut is a mean of two logits.
    {"gate_budget", 4},
    // Logarithms of ratios that a block's sums enter.
    {"edit_features", 256},
    // The whole editor, up to two message layers and three probes: logarithms and Newton steps of small numbers.
    {"editor", 1e5},
    // Absolute, of ln 2: as divergence, with the error of the logits of three layers.
    {"feature_ablation", 64},
    {"feature_fold", 256},
    {"feature_pool", 16},
    {"network_features", 64},
    {"feature_gate_features", 128},
};

/// Throws std::logic_error for a name that is not in the table.
inline double tolerance(std::string_view name, DType dtype, double magnitude) {
  const double epsilon =
      dtype == DType::float64 ? std::numeric_limits<double>::epsilon() : double{std::numeric_limits<float>::epsilon()};
  for (const ToleranceEntry& entry : kTolerances)
    if (entry.name == name) return entry.k * epsilon * magnitude;
  throw std::logic_error("no tolerance named " + std::string(name));
}

}  // namespace amend::test
