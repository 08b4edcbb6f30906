#pragma once

#include "metanet/model/requirement.hpp"

namespace amend {

/// Carry fewer weights: the expected share of open weight gates.
class Pruning final : public Requirement {
 public:
  std::string name() const override { return "pruning"; }
  EditGates gates() const override { return {.weights = true}; }
  bool reads_groups() const override { return false; }
  Variable soft(Tape& tape, const SoftInputs& inputs) const override;
  double default_lambda_low() const override { return 0.002; }
  double default_lambda_high() const override { return 0.2; }
};

/// Carry fewer hidden neurons: the expected share of open neuron gates.
class NeuronPruning final : public Requirement {
 public:
  std::string name() const override { return "neurons"; }
  EditGates gates() const override { return {.neurons = true}; }
  bool reads_groups() const override { return false; }
  Variable soft(Tape& tape, const SoftInputs& inputs) const override;
  double default_lambda_low() const override { return 0.003; }
  double default_lambda_high() const override { return 0.2; }
};

/// Use fewer input features: the expected share of open feature gates. All inputs of a one-hot feature share a gate.
class DataMinimisation final : public Requirement {
 public:
  std::string name() const override { return "data_minimisation"; }
  EditGates gates() const override { return {.features = true}; }
  bool reads_groups() const override { return false; }
  Variable soft(Tape& tape, const SoftInputs& inputs) const override;
  double default_lambda_low() const override { return 0.003; }
  double default_lambda_high() const override { return 0.2; }
};

}  // namespace amend
