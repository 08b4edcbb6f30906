#pragma once

#include "kernels/block_table.hpp"

namespace amend::kernels {

/// The numbers behind `Network::activation`, in the order of amend::Activation.
enum class SubjectActivation : std::int32_t { relu, tanh, silu, sigmoid };

/// A number that no rows had before: see SubjectForward::x_id.
std::uint64_t new_x_id();

/// B different multi-layer perceptrons over one data batch: hidden layers with the network's activation, linear
/// outputs. A hidden layer of width n of network b is a (rows, n) matrix, row-major, that begins at element
/// `(hidden_offset of b + hidden nodes of its earlier layers) * rows` of `activation` and `slope`.
struct SubjectForward {
  BlockTable table;
  TensorView weight;       // (edges)
  TensorView bias;         // (nodes), entries of input nodes are not read
  TensorView x;            // (data_rows, inputs)
  std::uint64_t x_id = 0;  // 0, or a number of x as it is: another one as soon as an element differs. The CPU kernels
                           // keep what they find out about x from call to call, and believe it
  TensorView row_index;    // (networks, rows) int32, optional: network b reads rows row_index[b, :] of x; without it
                           // every network reads all of x and rows = data_rows
  TensorView activation;   // (hidden_count, rows), optional
  TensorView slope;        // (hidden_count, rows), optional: derivative of the activation
  TensorView logits;       // (networks, rows, classes)
};
AMEND_DECLARE_KERNEL(subject_forward, SubjectForward)

/// Adds to grad_weight and grad_bias. `forward` holds the activation and the slope of the forward pass.
struct SubjectForwardGradient {
  SubjectForward forward;
  TensorView grad_logits;  // (networks, rows, classes)
  TensorView grad_weight;  // (edges), optional
  TensorView grad_bias;    // (nodes), optional; input nodes receive nothing
};
AMEND_DECLARE_KERNEL(subject_backward, SubjectForwardGradient)

}  // namespace amend::kernels
