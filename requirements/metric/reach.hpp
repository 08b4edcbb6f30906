#pragma once

#include <cstdint>
#include <vector>

#include "metanet/data/subject_network.hpp"

namespace amend {

/// Which neurons matter, per layer of neurons (inputs first, outputs last): 1 or 0. A path is a chain of non-zero
/// weights; the weights are compared with exact zero.
using NeuronMarks = std::vector<std::vector<std::uint8_t>>;

/// Neurons with a path to an output: nothing else can change a prediction.
NeuronMarks reaching_output(const SubjectNetwork& network);

/// Neurons with a path from an input: all others are constants.
NeuronMarks reached_from_input(const SubjectNetwork& network);

}  // namespace amend
