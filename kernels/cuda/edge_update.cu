// z = C e + u_i + v_j; g = silu(gamma layer_norm(z) + beta); e' = e + alpha (G g); f_i = mean_j(g s_j); r_j = mean_i(g
// t_i). One kernel a pass over the items of edge_plan.cuh: an edge state is read once and written once, everything in
// between stays in registers (edge_tile.cuh) and shared memory. Bytes an edge that it must cost: 8 D forward (4 D
// when states are stored as bf16), 16 D backward (e, grad e', grad e twice); e and grad e' are read a second time from
// the cache.
// Operations an edge: 4 D^2 forward, 10 D^2 backward.
//
// A thread block is 8 warps of 16 slots. In a round every warp does 16 edges: two products, the layer norm over four
// lanes, row sums over lanes and then, through shared memory, over the warps side by side; column sums stay in
// registers until the item ends. In the backward pass the tiles of a round meet in shared memory for the gradients of
// the two weights, which a thread block keeps over all its items: its partial sums are added in the order of the
// blocks.
//
// No instance of float32 spills registers, at the price of traffic of the shared memory. With 128 channels the forward
// pass keeps column sums there, read and written for every edge (8 D bytes), and products in tf32 find their operands
// there, as exact ones always do (8 D bytes a product). The backward pass adds the gradients of gamma and beta there,
// 16 D bytes for 16 edges; column sums of 64 channels in float32 and tf32, and of 128, and the weights' of 128 (exact:
// of 64) are in memory, which the L1 cache serves.
//
// Where a block has 99 KB of shared memory (compute capability 8.6, 8.9, 12.0), more of it is in memory, in cache as
// far as there is room; the bits are the same. Of 64 channels the backward pass finds its matrices there, 3/4 D^2 bytes
// an edge (bf16: half), tf32 also the weights' sums, D^2 / 8 bytes, and the normalised state, 8 D, bf16 its column
// sums, 16 D. Of 128 the forward pass keeps column sums there, 8 D bytes an edge, the backward pass in float32 and tf32
// one of its two tiles, written twice and read three times, 20 D bytes. Operations are the same. For sm_120 ptxas 13.0
// spills 40 to 108 bytes in backward passes of 128 channels; for sm_80, 89 and 90a it does not.
#include "kernels/edge_update.hpp"

#include "kernels/cuda/edge_precision.cuh"
#include "kernels/edge_arguments.hpp"

namespace amend::kernels::AMEND_CUDA_TWIN {

void edge_update_forward(const EdgeUpdate& args, Stream stream) {
  validate(args);
  if (args.precision == Precision::tf32) return edge_update_forward_tf32(args, stream);
  if (args.precision == Precision::bf16) return edge_update_forward_bf16(args, stream);
  args.edge.dtype == DType::float64 ? edge_update_forward_float64(args, stream)
                                    : edge_update_forward_float32(args, stream);
}

void edge_update_backward(const EdgeUpdateGradient& args, Stream stream) {
  validate(args);
  const Precision precision = args.forward.precision;
  if (precision == Precision::tf32) return edge_update_backward_tf32(args, stream);
  if (precision == Precision::bf16) return edge_update_backward_bf16(args, stream);
  args.forward.edge.dtype == DType::float64 ? edge_update_backward_float64(args, stream)
                                            : edge_update_backward_float32(args, stream);
}

}  // namespace amend::kernels::AMEND_CUDA_TWIN
