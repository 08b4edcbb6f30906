// For tests.
#include "kernels/cuda/edge_passes.cuh"
#include "kernels/cuda/edge_precision.cuh"

namespace amend::kernels::AMEND_CUDA_TWIN {

void edge_update_forward_float64(const EdgeUpdate& args, Stream stream) {
  run_edge_forward<double, double, Precision::float32>(args, stream);
}
void edge_update_backward_float64(const EdgeUpdateGradient& args, Stream stream) {
  run_edge_backward<double, Precision::float32>(args, stream);
}

}  // namespace amend::kernels::AMEND_CUDA_TWIN
