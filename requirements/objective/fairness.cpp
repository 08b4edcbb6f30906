#include "requirements/objective/fairness.hpp"

#include "autograd/op/group_rates.hpp"
#include "autograd/op/linear.hpp"
#include "autograd/op/rate_gap.hpp"

namespace amend {

namespace {

constexpr double kTemperature = 0.5;
constexpr double kEpsilon = 0.02;

Variable cell_rates(Tape& tape, const SoftInputs& inputs, const char* name) {
  check(inputs.rows != nullptr && inputs.rows->groups >= 2, name, "needs rows with at least two groups");
  return op::group_rates(tape, inputs.logits, inputs.rows->cell, 2 * inputs.rows->groups, kTemperature);
}

/// Rates (networks, cells) mixed into (networks, groups); a network at a time, so that its bits are its own.
Variable mixed(Tape& tape, const SoftInputs& inputs, Variable rates, const TensorView& mix) {
  return op::linear(tape, rates, tape.constant(mix), {}, inputs.networks);
}

}  // namespace

Variable EqualisedOdds::soft(Tape& tape, const SoftInputs& inputs) const {
  const Variable rates = cell_rates(tape, inputs, "equalised_odds");
  return op::rate_gap(tape, rates, 2, inputs.rows->groups, kEpsilon);
}

Variable EqualOpportunity::soft(Tape& tape, const SoftInputs& inputs) const {
  const Variable rates = cell_rates(tape, inputs, "equal_opportunity");
  return op::rate_gap(tape, mixed(tape, inputs, rates, inputs.rows->opportunity_mix), 1, inputs.rows->groups, kEpsilon);
}

Variable DemographicParity::soft(Tape& tape, const SoftInputs& inputs) const {
  const Variable rates = cell_rates(tape, inputs, "demographic_parity");
  return op::rate_gap(tape, mixed(tape, inputs, rates, inputs.rows->parity_mix), 1, inputs.rows->groups, kEpsilon);
}

}  // namespace amend
