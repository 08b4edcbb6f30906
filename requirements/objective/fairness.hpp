#pragma once

#include "metanet/model/requirement.hpp"

namespace amend {

/// Requirements on soft rates per group, at the temperature .5 and with a smooth absolute value (epsilon .02) that the
/// recipe found to train. Any number of groups: gaps are averaged over pairs of groups.
class GroupFairness : public Requirement {
 public:
  EditGates gates() const override { return {}; }
  bool reads_groups() const override { return true; }
  double default_lambda_low() const override { return 0.01; }
  double default_lambda_high() const override { return 1.0; }
};

/// Equal true- and false-positive rates: the sum of both gaps. Hardt, Price, Srebro, arXiv 1610.02413, def. 2.1.
class EqualisedOdds final : public GroupFairness {
 public:
  std::string name() const override { return "equalised_odds"; }
  Variable soft(Tape& tape, const SoftInputs& inputs) const override;
};

/// Equal true-positive rates. Hardt, Price, Srebro, arXiv 1610.02413, def. 2.2.
class EqualOpportunity final : public GroupFairness {
 public:
  std::string name() const override { return "equal_opportunity"; }
  Variable soft(Tape& tape, const SoftInputs& inputs) const override;
};

/// Equal selection rates, whatever the label. The rows are equally many of every (label, group); the rate of a group
/// weighs them by P(label | group).
class DemographicParity final : public GroupFairness {
 public:
  std::string name() const override { return "demographic_parity"; }
  Variable soft(Tape& tape, const SoftInputs& inputs) const override;
};

}  // namespace amend
