// K times: projection = W x + b; edge_update; node_update. Bytes that it must cost: an edge state read once and written
// once, 8 D, whatever K, when a network's states fit a cache; this form moves them in every layer. Operations: those of
// the layers.
#include "kernels/message_layers.hpp"

#include <cstring>

#include "kernels/edge_embed_update.hpp"
#include "kernels/linear.hpp"
#include "kernels/message_arguments.hpp"
#include "kernels/node_update.hpp"

namespace amend::kernels::cpu {

void message_layers(const MessageLayers& args, Stream stream) {
  validate(args);
  const bool embeds = static_cast<bool>(args.embed.input);
  if (args.layers == 0) {
    if (embeds) cpu::edge_embed_forward(args.embed, stream);
    if (args.edge.bytes() > 0) std::memcpy(args.edge_out.data, args.edge.data, args.edge.bytes());
    if (args.node.bytes() > 0) std::memcpy(args.node_out.data, args.node.data, args.node.bytes());
  }
  TensorView edge = args.edge, node = args.node;
  for (std::int32_t l = 0; l < args.layers; ++l) {
    cpu::linear_forward(projection_of(args, l, node), stream);
    if (l == 0 && embeds)
      cpu::edge_embed_update_forward({.embed = args.embed, .update = edges_of(args, l, edge)}, stream);
    else
      cpu::edge_update_forward(edges_of(args, l, edge), stream);
    cpu::node_update_forward(nodes_of(args, l, node), stream);
    edge = args.edge_out;  // from here on in place
    node = args.node_out;
  }
}

}  // namespace amend::kernels::cpu
