#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "autograd/tape.hpp"
#include "kernels/kernel.hpp"

namespace amend {

/// Which gates an editor has. What has none is only scaled and moved.
struct EditGates {
  bool weights = false;
  bool neurons = false;
  bool features = false;

  friend EditGates operator|(EditGates a, EditGates b) {
    return {a.weights || b.weights, a.neurons || b.neurons, a.features || b.features};
  }
};

/// Data rows that a batch of networks is run over: `random_rows` drawn uniformly, then, when a requirement looks at
/// groups, equally many of every cell (label, group), cell = label * groups + group.
struct RowBatch {
  TensorView x;            // (rows, inputs)
  std::uint64_t x_id = 0;  // of x, see kernels::SubjectForward
  std::int64_t random_rows = 0;
  TensorView cell;  // (rows) int32, -1 in the random rows; absent without groups
  int groups = 0;
  TensorView parity_mix;       // (groups, 2 groups): from rates per cell to selection rates, P(label | group)
  TensorView opportunity_mix;  // (groups, 2 groups): picks the cells of label 1
  // With feature gates, see kernels::FeatureDeviation: what replacing a feature takes off the inputs of the random
  // rows.
  TensorView deviation;         // (inputs, random_rows): by its mean
  TensorView unique_deviation;  // (inputs, random_rows): by what the other features predict of it
};

/// What a soft objective may look at. Absent gates count as open.
struct SoftInputs {
  Variable logits;  // (networks, rows, classes) of the edited networks
  const RowBatch* rows = nullptr;
  kernels::Segments networks;  // one row per network: see kernels::BlockTable
  Variable weight_share;       // (networks): expected share of open weight gates
  Variable neuron_share;       // (networks)
  Variable feature_share;      // (networks)
};

/// Something an edited network must satisfy: a differentiable objective here, and an audited metric of the same name in
/// the audit. Smaller is better; 0 is perfect.
class Requirement {
 public:
  virtual ~Requirement() = default;
  /// As in configurations and on the command line: `pruning`.
  virtual std::string name() const = 0;
  virtual EditGates gates() const = 0;
  /// Whether the objective depends on predictions per group; then `soft` reads logits and rows.
  virtual bool reads_groups() const = 0;
  /// The soft objective of every network: (networks).
  virtual Variable soft(Tape& tape, const SoftInputs& inputs) const = 0;
  /// Range of weights lambda that covers mild to strong edits.
  virtual double default_lambda_low() const = 0;
  virtual double default_lambda_high() const = 0;
};

using Requirements = std::vector<std::shared_ptr<const Requirement>>;

}  // namespace amend
