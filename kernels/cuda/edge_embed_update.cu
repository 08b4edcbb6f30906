// edge_embed and edge_update, one after the other: states go through memory, 8 D bytes an edge forward (4 D as bf16)
// that a kernel for both would not move.
#include "kernels/edge_embed_update.hpp"

#include "kernels/cuda/launch.cuh"
#include "kernels/edge_embed_update_arguments.hpp"

namespace amend::kernels::AMEND_CUDA_TWIN {

void edge_embed_forward(const EdgeEmbed& args, Stream stream);
void edge_embed_backward(const EdgeEmbedGradient& args, Stream stream);
void edge_update_forward(const EdgeUpdate& args, Stream stream);
void edge_update_backward(const EdgeUpdateGradient& args, Stream stream);

void edge_embed_update_forward(const EdgeEmbedUpdate& args, Stream stream) {
  validate(args, true);
  AMEND_CUDA_TWIN::edge_embed_forward(args.embed, stream);
  AMEND_CUDA_TWIN::edge_update_forward(args.update, stream);
}

void edge_embed_update_backward(const EdgeEmbedUpdateGradient& args, Stream stream) {
  validate(args, true);
  AMEND_CUDA_TWIN::edge_update_backward(args.update, stream);
  AMEND_CUDA_TWIN::edge_embed_backward(args.embed, stream);
}

}  // namespace amend::kernels::AMEND_CUDA_TWIN
