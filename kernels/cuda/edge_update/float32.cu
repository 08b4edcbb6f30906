// The exact mode: products in plain float32.
#include "kernels/cuda/edge_passes.cuh"
#include "kernels/cuda/edge_precision.cuh"

namespace amend::kernels::AMEND_CUDA_TWIN {

void edge_update_forward_float32(const EdgeUpdate& args, Stream stream) {
  run_edge_forward<float, float, Precision::float32>(args, stream);
}
void edge_update_backward_float32(const EdgeUpdateGradient& args, Stream stream) {
  run_edge_backward<float, Precision::float32>(args, stream);
}

}  // namespace amend::kernels::AMEND_CUDA_TWIN
