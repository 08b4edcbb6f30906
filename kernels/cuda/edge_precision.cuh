#pragma once

// A pass of the message layer in each precision, compiled in a file of edge_update/ each.

#include "kernels/cuda/launch.cuh"
#include "kernels/edge_update.hpp"

namespace amend::kernels::AMEND_CUDA_TWIN {

void edge_update_forward_float32(const EdgeUpdate& args, Stream stream);
void edge_update_forward_float64(const EdgeUpdate& args, Stream stream);
void edge_update_forward_tf32(const EdgeUpdate& args, Stream stream);
void edge_update_forward_bf16(const EdgeUpdate& args, Stream stream);  // of float32 or bfloat16 states
void edge_update_backward_float32(const EdgeUpdateGradient& args, Stream stream);
void edge_update_backward_float64(const EdgeUpdateGradient& args, Stream stream);
void edge_update_backward_tf32(const EdgeUpdateGradient& args, Stream stream);
void edge_update_backward_bf16(const EdgeUpdateGradient& args, Stream stream);

}  // namespace amend::kernels::AMEND_CUDA_TWIN
