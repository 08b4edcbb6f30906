// The kernels of message layers, in all precisions, on random tensors.
#include <cmath>

#include "bench/measure/case_inputs.hpp"
#include "bench/measure/kernel_cases.hpp"
#include "kernels/edge_embed_update.hpp"
#include "kernels/message_arguments.hpp"
#include "kernels/message_layers.hpp"

namespace amend::bench {

namespace {

using kernels::Precision;

/// The reference is of no precision but its own.
Precision precision_of(const CaseInputs& in, const KernelSize& size) {
  return in.dtype() == DType::float64 ? Precision::float32 : size.precision;
}

DType state_type(const CaseInputs& in, const KernelSize& size) {
  return precision_of(in, size) == Precision::bf16 ? DType::bfloat16 : in.dtype();
}

double state_bytes(const KernelSize& size) { return size.precision == Precision::bf16 ? 2 : 4; }

TensorView square(CaseInputs& in, std::int64_t d) { return in.normal({d, d}, 1.0 / std::sqrt(static_cast<double>(d))); }

kernels::EdgeUpdate edge_update(CaseInputs& in, const KernelSize& size, DType state, const TensorView& edge) {
  const kernels::BlockTable& table = in.table();
  const std::int64_t d = size.d;
  return {.table = table,
          .edge = edge,
          .projection = in.normal({table.node_count, 4 * d}, 0.5),
          .weight_c = square(in, d),
          .weight_g = square(in, d),
          .modulation = in.normal({table.network_count, 3 * d}, 0.1, 1.0),
          .edge_out = in.zeros({table.edge_count, d}, state),
          .aggregate = in.zeros({table.node_count, 2 * d}),
          .precision = precision_of(in, size)};
}

/// On random states.
kernels::EdgeUpdate edge_update(CaseInputs& in, const KernelSize& size, DType state) {
  return edge_update(in, size, state, in.normal({in.table().edge_count, size.d}, 1.0, 0.0, state));
}

kernels::EdgeEmbedUpdate edge_embed_update(CaseInputs& in, const KernelSize& size) {
  const bool stored = kernels::stores_states(in.stream().device(), precision_of(in, size));
  const TensorView edge = stored ? in.zeros({in.table().edge_count, size.d}) : TensorView{};
  const kernels::EdgeUpdate update = edge_update(in, size, in.dtype(), edge);
  return {.embed = edge_embed_of(in, size.d, edge), .update = update};
}

struct LayerInputs {
  CaseInputs tensors;
  kernels::MessageLayers args;

  LayerInputs(const KernelSize& size, DType dtype, int networks, Stream stream)
      : tensors(dtype, size.widths, networks, stream) {
    CaseInputs& in = tensors;
    const kernels::BlockTable& table = in.table();
    const std::int64_t d = size.d, h = size.h, f = 2 * h, read = 2 * h + 2 * d;
    const auto weight = [&](std::int64_t out, std::int64_t from) {
      return in.normal({out, from}, 1.0 / std::sqrt(static_cast<double>(from)));
    };
    const DType state = state_type(in, size);
    args = {.table = table,
            .edge = in.normal({table.edge_count, d}, 1.0, 0.0, state),
            .node = in.normal({table.node_count, h}),
            .condition = in.normal({table.network_count, h}, 0.5),
            .edge_out = in.zeros({table.edge_count, d}, state),
            .node_out = in.zeros({table.node_count, h}),
            .projection = in.zeros({table.node_count, 4 * d}),
            .aggregate = in.zeros({table.node_count, 2 * d}),
            .precision = precision_of(in, size)};
    for (int k = 0; k < size.messages; ++k)
      args.layer[args.layers++] = {.projection_weight = weight(4 * d, h),
                                   .projection_bias = in.normal({4 * d}, 0.1),
                                   .weight_c = square(in, d),
                                   .weight_g = square(in, d),
                                   .modulation = in.normal({table.network_count, 3 * d}, 0.1, 0.5),
                                   .weight1 = weight(f, read),
                                   .bias1 = in.normal({f}, 0.1),
                                   .weight2 = weight(h, f),
                                   .bias2 = in.normal({h}, 0.1),
                                   .alpha = in.normal({table.network_count, h}, 0.1, 0.5)};
  }
};

template <class Run>
Case layers_case(const KernelSize& size, DType dtype, int networks, Stream stream, Run run) {
  const auto in = std::make_shared<LayerInputs>(size, dtype, networks, stream);
  const kernels::MessageLayers args = in->args;
  return {.keep = in,
          .run = [args, stream, run] { run(args, stream); },
          .outputs = {args.edge_out, args.node_out},
          .memory = in->tensors.bytes(),
          .stream = stream};
}

EditorSize editor_size(const KernelSize& size) {
  return {.d = static_cast<double>(size.d), .h = static_cast<double>(size.h), .messages = size.messages};
}

}  // namespace

Family edge_update_forward_family(const KernelSize& size) {
  return {.make =
              [size](DType dtype, int networks, Stream stream) {
                auto in = std::make_shared<CaseInputs>(dtype, size.widths, networks, stream);
                const kernels::EdgeUpdate args = edge_update(*in, size, state_type(*in, size));
                return finish(in, {args.edge_out, args.aggregate},
                              [args, stream] { kernels::edge_update_forward(args, stream); });
              },
          .cost =
              [size](int n) {
                return edge_update_forward_cost(batch_size(size.widths, n), static_cast<double>(size.d),
                                                state_bytes(size));
              },
          .precision = size.precision};
}

Family edge_update_backward_family(const KernelSize& size) {
  return {
      .make =
          [size](DType dtype, int networks, Stream stream) {
            auto in = std::make_shared<CaseInputs>(dtype, size.widths, networks, stream);
            kernels::EdgeUpdateGradient args{.forward = edge_update(*in, size, dtype)};
            args.grad_edge_out = in->normal(args.forward.edge.shape);
            args.grad_aggregate = in->normal(args.forward.aggregate.shape);
            args.grad_edge = in->zeros(args.forward.edge.shape);
            args.grad_projection = in->zeros(args.forward.projection.shape);
            args.grad_weight_c = in->zeros(args.forward.weight_c.shape);
            args.grad_weight_g = in->zeros(args.forward.weight_g.shape);
            args.grad_modulation = in->zeros(args.forward.modulation.shape);
            kernels::edge_update_forward(args.forward, stream);
            return finish(
                in,
                {args.grad_edge, args.grad_projection, args.grad_weight_c, args.grad_weight_g, args.grad_modulation},
                [args, stream] { kernels::edge_update_backward(args, stream); });
          },
      .cost =
          [size](int n) { return edge_update_backward_cost(batch_size(size.widths, n), static_cast<double>(size.d)); },
      .precision = size.precision};
}

Family edge_embed_update_forward_family(const KernelSize& size) {
  return {.make =
              [size](DType dtype, int networks, Stream stream) {
                auto in = std::make_shared<CaseInputs>(dtype, size.widths, networks, stream);
                const kernels::EdgeEmbedUpdate args = edge_embed_update(*in, size);
                return finish(in, {args.update.edge_out, args.update.aggregate},
                              [args, stream] { kernels::edge_embed_update_forward(args, stream); });
              },
          .cost =
              [size](int n) {
                return edge_embed_update_forward_cost(batch_size(size.widths, n), static_cast<double>(size.d));
              },
          .precision = size.precision};
}

Family edge_embed_update_backward_family(const KernelSize& size) {
  return {.make =
              [size](DType dtype, int networks, Stream stream) {
                auto in = std::make_shared<CaseInputs>(dtype, size.widths, networks, stream);
                const kernels::EdgeEmbedUpdate forward = edge_embed_update(*in, size);
                kernels::EdgeEmbedUpdateGradient args{.embed = {.forward = forward.embed},
                                                      .update = {.forward = forward.update}};
                args.embed.grad_weight = in->zeros(forward.embed.weight.shape);
                args.embed.grad_bias = in->zeros(forward.embed.bias.shape);
                args.update.grad_edge_out = in->normal(forward.update.edge_out.shape);
                if (forward.update.edge)
                  args.embed.grad_out = args.update.grad_edge = in->zeros(forward.update.edge_out.shape);
                args.update.grad_aggregate = in->normal(forward.update.aggregate.shape);
                args.update.grad_projection = in->zeros(forward.update.projection.shape);
                args.update.grad_weight_c = in->zeros(forward.update.weight_c.shape);
                args.update.grad_weight_g = in->zeros(forward.update.weight_g.shape);
                args.update.grad_modulation = in->zeros(forward.update.modulation.shape);
                kernels::edge_embed_update_forward(forward, stream);
                return finish(in,
                              {args.embed.grad_weight, args.embed.grad_bias, args.update.grad_projection,
                               args.update.grad_weight_c, args.update.grad_weight_g, args.update.grad_modulation},
                              [args, stream] { kernels::edge_embed_update_backward(args, stream); });
              },
          .cost =
              [size](int n) {
                return edge_embed_update_backward_cost(batch_size(size.widths, n), static_cast<double>(size.d));
              },
          .precision = size.precision};
}

Family message_layers_family(const KernelSize& size) {
  return {.make =
              [size](DType dtype, int networks, Stream stream) {
                return layers_case(size, dtype, networks, stream, [](const kernels::MessageLayers& args, Stream on) {
                  kernels::message_layers(args, on);
                });
              },
          .cost =
              [size](int n) {
                return message_layers_cost(batch_size(size.widths, n), editor_size(size), state_bytes(size));
              },
          .precision = size.precision};
}

Family layer_by_layer_family(const KernelSize& size) {
  return {.make =
              [size](DType dtype, int networks, Stream stream) {
                return layers_case(size, dtype, networks, stream, [](const kernels::MessageLayers& args, Stream on) {
                  TensorView edge = args.edge, node = args.node;
                  for (std::int32_t l = 0; l < args.layers; ++l) {
                    kernels::linear_forward(kernels::projection_of(args, l, node), on);
                    kernels::edge_update_forward(kernels::edges_of(args, l, edge), on);
                    kernels::node_update_forward(kernels::nodes_of(args, l, node), on);
                    edge = args.edge_out;  // from here on in place
                    node = args.node_out;
                  }
                });
              },
          .cost =
              [size](int n) {
                Cost cost{0, 0, "K message layers"};
                const BatchSize b = batch_size(size.widths, n);
                for (int k = 0; k < size.messages; ++k) {
                  cost += message_layer_cost(b, editor_size(size));
                  cost.bytes -= 2 * (4 - state_bytes(size)) * static_cast<double>(size.d) * b.edges;
                }
                return cost;
              },
          .precision = size.precision};
}

}  // namespace amend::bench
