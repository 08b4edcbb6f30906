#pragma once

#include <cstdint>

#include "engine/host_device.hpp"
#include "kernels/block_table.hpp"
#include "kernels/precision.hpp"

namespace amend::kernels {

/// The fused message layer over all weights of a batch. For the edge of block b from source j to target i, with
/// (u, v, s, t) = the four quarters of a node's projection and (gamma, beta, alpha) those of the edge's network:
///
///   z = C e + u_i + v_j          g = silu(gamma * layer_norm(z) + beta)          e' = e + alpha * (G g)
///   f_i = mean_j(g * s_j)        r_j = mean_i(g * t_i)
///
/// After Kalogeropoulos et al., arXiv 2406.10685 (bidirectional graph metanetworks), on dense blocks.
struct EdgeUpdate {
  BlockTable table;
  TensorView edge;                           // (edges, D); in a forward pass of precision bf16 also of type bfloat16
  TensorView projection;                     // (nodes, 4 D): u, v, s, t
  TensorView weight_c;                       // (D, D)
  TensorView weight_g;                       // (D, D)
  TensorView modulation;                     // (networks, 3 D): gamma, beta, alpha
  TensorView edge_out;                       // (edges, D): e', of the type of `edge`; may be `edge` itself
  TensorView aggregate;                      // (nodes, 2 D): f (0 at input nodes), r (0 at output nodes)
  Precision precision = Precision::float32;  // of the products with C and G and of their gradients
};
AMEND_DECLARE_KERNEL(edge_update_forward, EdgeUpdate)

/// alpha in a backward pass that divides by it again: not closer to 0 than 2^-60, which as a factor is as good as 0.
template <class T>
AMEND_HOST_DEVICE inline T divisible_step(T alpha) {
  constexpr T kLeast = T(1) / T(std::uint64_t{1} << 60);
  return alpha > -kLeast && alpha < kLeast ? (alpha < T(0) ? -kLeast : kLeast) : alpha;
}

/// Recomputes z and g; adds to the gradients of the five inputs.
struct EdgeUpdateGradient {
  EdgeUpdate forward;
  TensorView grad_edge_out;    // (edges, D), optional: zero when absent
  TensorView grad_aggregate;   // (nodes, 2 D), optional: zero when absent
  TensorView grad_edge;        // (edges, D), optional; may be grad_edge_out itself, which then becomes that of e
  TensorView grad_projection;  // (nodes, 4 D)
  TensorView grad_weight_c;    // (D, D)
  TensorView grad_weight_g;    // (D, D)
  TensorView grad_modulation;  // (networks, 3 D)
};
AMEND_DECLARE_KERNEL(edge_update_backward, EdgeUpdateGradient)

}  // namespace amend::kernels
