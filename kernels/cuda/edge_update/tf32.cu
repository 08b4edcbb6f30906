// Products of operands that are rounded to tf32.
#include "kernels/cuda/edge_passes.cuh"
#include "kernels/cuda/edge_precision.cuh"

namespace amend::kernels::AMEND_CUDA_TWIN {

void edge_update_forward_tf32(const EdgeUpdate& args, Stream stream) {
  run_edge_forward<float, float, Precision::tf32>(args, stream);
}
void edge_update_backward_tf32(const EdgeUpdateGradient& args, Stream stream) {
  run_edge_backward<float, Precision::tf32>(args, stream);
}

}  // namespace amend::kernels::AMEND_CUDA_TWIN
