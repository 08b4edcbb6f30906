#include "requirements/objective/sparsity.hpp"

namespace amend {

namespace {

Variable share(Variable value, const char* name) {
  check(static_cast<bool>(value), name, "the editor has no such gates");
  return value;
}

}  // namespace

Variable Pruning::soft(Tape&, const SoftInputs& inputs) const { return share(inputs.weight_share, "pruning"); }

Variable NeuronPruning::soft(Tape&, const SoftInputs& inputs) const { return share(inputs.neuron_share, "neurons"); }

Variable DataMinimisation::soft(Tape&, const SoftInputs& inputs) const {
  return share(inputs.feature_share, "data_minimisation");
}

}  // namespace amend
