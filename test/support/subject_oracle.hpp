#pragma once

#include <vector>

#include "metanet/data/subject_network.hpp"

namespace amend::test {

/// A subject network evaluated neuron by neuron in float64. Nodes are numbered as in a graph: inputs first.
struct SubjectOracle {
  std::vector<std::vector<double>> activation;  // [layer][neuron]; layer 0 is x, the last the logits
  std::vector<std::vector<double>> slope;       // [layer][neuron]; 1 at the logits

  /// `shift`, if any, is added to the biases of the first layer.
  SubjectOracle(const SubjectNetwork& network, const double* x, const std::vector<double>& shift = {});

  /// Gradient of sum_c seed[c] * logit_c by what enters each neuron, [layer][neuron]; layer 0 by x.
  std::vector<std::vector<double>> gradient(const std::vector<double>& seed) const;

 private:
  const SubjectNetwork& network_;
};

std::vector<double> softmax(const std::vector<double>& logits);

}  // namespace amend::test
