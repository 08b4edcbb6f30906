#pragma once

#include "autograd/tape.hpp"
#include "kernels/divergence.hpp"

namespace amend::op {

/// Jensen-Shannon divergence in nats between the softmax of logits_p, a constant, and of logits_q, mean over the first
/// `row_count` rows. (networks, rows, classes) -> (networks).
Variable divergence(Tape& tape, const TensorView& logits_p, Variable logits_q, std::int64_t row_count);

}  // namespace amend::op
