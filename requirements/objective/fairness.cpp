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
Variable mixed(Tape& tape, Variable rates, const TensorView& mix) {
  const std::int64_t networks = rates.extent(0);
  auto* offset =
      static_cast<std::int64_t*>(tape.arena().allocate(static_cast<std::size_t>(networks + 1) * sizeof(std::int64_t)));
  for (std::int64_t n = 0; n <= networks; ++n) offset[n] = n;
  return op::linear(tape, rates, tape.constant(mix), {}, {offset, static_cast<std::int32_t>(networks)});
}

}  // namespace

Variable EqualisedOdds::soft(Tape& tape, const SoftInputs& inputs) const {
  const Variable rates = cell_rates(tape, inputs, "equalised_odds");
  return op::rate_gap(tape, rates, 2, inputs.rows->groups, kEpsilon);
}

Variable EqualOpportunity::soft(Tape& tape, const SoftInputs& inputs) const {
  const Variable rates = cell_rates(tape, inputs, "equal_opportunity");
  return op::rate_gap(tape, mixed(tape, rates, inputs.rows->opportunity_mix), 1, inputs.rows->groups, kEpsilon);
}

Variable DemographicParity::soft(Tape& tape, const SoftInputs& inputs) const {
  const Variable rates = cell_rates(tape, inputs, "demographic_parity");
  return op::rate_gap(tape, mixed(tape, rates, inputs.rows->parity_mix), 1, inputs.rows->groups, kEpsilon);
}

}  // namespace amend
