// Products of operands that are rounded to bf16; states stored as float32 or, forward, bf16.
#include "kernels/cuda/edge_passes.cuh"
#include "kernels/cuda/edge_precision.cuh"

namespace amend::kernels::AMEND_CUDA_TWIN {

void edge_update_forward_bf16(const EdgeUpdate& args, Stream stream) {
  if (args.edge.dtype == DType::bfloat16) return run_edge_forward<BFloat16, float, Precision::bf16>(args, stream);
  run_edge_forward<float, float, Precision::bf16>(args, stream);
}
void edge_update_backward_bf16(const EdgeUpdateGradient& args, Stream stream) {
  run_edge_backward<float, Precision::bf16>(args, stream);
}

}  // namespace amend::kernels::AMEND_CUDA_TWIN
