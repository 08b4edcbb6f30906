// e = W f + b, then edge_update. Exact products: in one pass over the edges, which is in edge_update.cpp. Bytes an
// edge: 4 (3 + D) for the 15 features of the first pass, backward the same. tf32 and bf16: the two kernels in turn.
#include "kernels/edge_embed_update.hpp"

#include "kernels/cpu/edge_update.hpp"
#include "kernels/edge_arguments.hpp"
#include "kernels/edge_embed_update_arguments.hpp"
#include "kernels/feature_arguments.hpp"

namespace amend::kernels::cpu {

void edge_embed_update_forward(const EdgeEmbedUpdate& args, Stream stream) {
  const bool stored = stores_states(Device::cpu(), args.update.precision);
  validate(args, stored);
  if (stored) {
    cpu::edge_embed_forward(args.embed, stream);
    return cpu::edge_update_forward(args.update, stream);
  }
  EdgeEmbedUpdate a = args;
  a.embed.out = a.update.edge = a.update.edge_out;  // of the states' shape and type
  validate(a.embed);
  validate(a.update);
  cpu::edge_update_forward(a.update, a.embed);
}

void edge_embed_update_backward(const EdgeEmbedUpdateGradient& args, Stream stream) {
  const bool stored = stores_states(Device::cpu(), args.update.forward.precision);
  validate(args, stored);
  if (stored) {
    cpu::edge_update_backward(args.update, stream);
    return cpu::edge_embed_backward(args.embed, stream);
  }
  EdgeEmbedUpdateGradient g = args;
  g.embed.forward.out = g.update.forward.edge = g.embed.grad_out = g.update.forward.edge_out;
  g.update.grad_edge = {};
  validate(g.embed);
  validate(g.update);
  cpu::edge_update_backward(g.update, g.embed);
}

}  // namespace amend::kernels::cpu
