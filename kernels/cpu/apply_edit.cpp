// w' = S_j N_i m (w + scale r); b' = N_i (b + sum_j (w - w') mu_j + scale r_b). A task is some target rows of a block,
// backward a network.
// Bytes an edge: 16 forward, 24 backward. Operations an edge: 6 forward, 14 backward.
#include "kernels/apply_edit.hpp"

#include "kernels/cpu/block_chunk.hpp"
#include "kernels/cpu/lane_sums.hpp"

namespace amend::kernels::cpu {

namespace {

template <class T>
struct Edit {
  const T *weight, *base, *bias, *mean, *scale, *gate, *residual, *node_gate, *bias_residual;

  explicit Edit(const ApplyEdit& a)
      : weight(a.weight.as<T>()),
        base(a.base ? a.base.as<T>() : weight),
        bias(a.bias.as<T>()),
        mean(a.mean.as<T>()),
        scale(a.scale.as<T>()),
        gate(a.gate.as<T>()),
        residual(a.residual.as<T>()),
        node_gate(a.node_gate.as<T>()),
        bias_residual(a.bias_residual.as<T>()) {}
};

template <class T>
void forward(const ApplyEdit& a) {
  const Edit<T> e(a);
  T* edited_weight = a.edited_weight.as<T>();
  T* edited_bias = a.edited_bias.as<T>();
  for (std::int32_t n = 0; n < a.table.network_count; ++n)
    std::fill_n(edited_bias + a.table.network[n].node_offset, a.table.network[n].inputs, T(0));
  const ChunkList& list = block_chunks(a.table);
  parallel_for(
      static_cast<std::int64_t>(list.chunk.size()),
      [&](std::int64_t c) {
        const BlockChunk& chunk = list.chunk[static_cast<std::size_t>(c)];
        const Block& block = a.table.block[chunk.block];
        const T scale = e.scale[chunk.block];
        const T *source_gate = e.node_gate + block.source_offset, *mean = e.mean + block.source_offset;
        for (std::int64_t i = chunk.first_row; i < chunk.first_row + chunk.row_count; ++i) {
          const std::int64_t target = block.target_offset + i, row = block.edge_offset + i * block.cols;
          const T target_gate = e.node_gate[target];
          const T *weight = e.weight + row, *base = e.base + row, *gate = e.gate + row, *residual = e.residual + row;
          T* edited = edited_weight + row;
          for (std::int64_t j = 0; j < block.cols; ++j) {
            const T moved = base[j] + scale * residual[j];
            edited[j] = source_gate[j] * target_gate * gate[j] * (weight[j] == T(0) ? T(0) : moved);
          }
          const T fold = lane_sum<T>(block.cols, [&](std::int64_t j) { return (weight[j] - edited[j]) * mean[j]; });
          edited_bias[target] = target_gate * (e.bias[target] + fold + scale * e.bias_residual[target]);
        }
      },
      a.table.edge_count >= kWorthwhileEdges);
}

template <class T>
void backward(const ApplyEditGradient& g) {
  const ApplyEdit& a = g.forward;
  const Edit<T> e(a);
  const T* edited_weight = a.edited_weight.as<T>();
  const T* grad_weight = elements<T>(g.grad_edited_weight);
  const T* grad_bias = elements<T>(g.grad_edited_bias);
  T *grad_base = elements<T>(g.grad_base), *grad_gate = elements<T>(g.grad_gate),
    *grad_residual = elements<T>(g.grad_residual);
  T *grad_node_gate = elements<T>(g.grad_node_gate), *grad_bias_residual = elements<T>(g.grad_bias_residual);
  parallel_for(a.table.network_count, [&](std::int64_t n) {
    const Network& network = a.table.network[n];
    for (std::int32_t b = network.first_block; b < network.first_block + network.block_count; ++b) {
      const Block& block = a.table.block[b];
      const T scale = e.scale[b];
      for (std::int64_t i = 0; i < block.rows; ++i) {
        const std::int64_t target = block.target_offset + i, row = block.edge_offset + i * block.cols;
        const T target_gate = e.node_gate[target], gb = grad_bias ? grad_bias[target] : T(0);
        T fold = 0, grad_target = 0;
        for (std::int64_t j = 0; j < block.cols; ++j) {
          const std::int64_t source = block.source_offset + j, k = row + j;
          const bool absent = e.weight[k] == T(0);
          const T moved = absent ? T(0) : e.base[k] + scale * e.residual[k], source_gate = e.node_gate[source],
                  m = e.gate[k];
          const T gw = (grad_weight ? grad_weight[k] : T(0)) - gb * target_gate * e.mean[source];
          fold += (e.weight[k] - edited_weight[k]) * e.mean[source];
          if (grad_base && !absent) grad_base[k] += gw * source_gate * target_gate * m;
          if (grad_gate) grad_gate[k] += gw * source_gate * target_gate * moved;
          if (grad_residual && !absent) grad_residual[k] += gw * source_gate * target_gate * m * scale;
          if (grad_node_gate) grad_node_gate[source] += gw * target_gate * m * moved;
          grad_target += gw * source_gate * m * moved;
        }
        grad_target += gb * (e.bias[target] + fold + scale * e.bias_residual[target]);
        if (grad_node_gate) grad_node_gate[target] += grad_target;
        if (grad_bias_residual) grad_bias_residual[target] += gb * target_gate * scale;
      }
    }
  });
}

void validate(const ApplyEdit& a) {
  const Shape edges{a.table.edge_count}, nodes{a.table.node_count};
  const DType dtype = a.weight.dtype;
  expect("apply_edit", "weight", a.weight, edges, dtype);
  if (a.base) expect("apply_edit", "base", a.base, edges, dtype);
  expect("apply_edit", "bias", a.bias, nodes, dtype);
  expect("apply_edit", "mean", a.mean, nodes, dtype);
  expect("apply_edit", "scale", a.scale, {a.table.block_count}, dtype);
  expect("apply_edit", "gate", a.gate, edges, dtype);
  expect("apply_edit", "residual", a.residual, edges, dtype);
  expect("apply_edit", "node_gate", a.node_gate, nodes, dtype);
  expect("apply_edit", "bias_residual", a.bias_residual, nodes, dtype);
  expect("apply_edit", "edited_weight", a.edited_weight, edges, dtype);
  expect("apply_edit", "edited_bias", a.edited_bias, nodes, dtype);
}

/// Calls `body(node, feature gate index or -1, hidden index or -1)` for every node of a network.
template <class Body>
void for_nodes(const NodeGate& a, std::int64_t n, const Body& body) {
  const Network& network = a.table.network[n];
  const std::int64_t features = a.feature_gate ? a.feature_gate.extent(1) : 0;
  const std::int32_t* feature = a.feature_gate ? a.input_feature.as<std::int32_t>() : nullptr;
  for (std::int64_t k = 0; k < network.node_count; ++k) {
    const std::int64_t node = network.node_offset + k, hidden = k - network.inputs;
    if (k < network.inputs)
      body(node, feature ? n * features + feature[k] : -1, std::int64_t{-1});
    else if (hidden < network.hidden_count)
      body(node, std::int64_t{-1}, a.neuron_gate ? network.hidden_offset + hidden : -1);
    else
      body(node, std::int64_t{-1}, std::int64_t{-1});
  }
}

void validate(const NodeGate& a) {
  expect("node_gate", "node_gate", a.node_gate, {a.table.node_count}, a.node_gate.dtype);
  if (a.feature_gate) {
    check(a.feature_gate.shape.rank() == 2 && a.feature_gate.extent(0) == a.table.network_count, "node_gate",
          "expected feature gates of ", a.table.network_count, " networks, got ", a.feature_gate.shape);
    const std::int64_t inputs = a.table.network_count ? a.table.network[0].inputs : a.input_feature.count();
    expect("node_gate", "feature_gate", a.feature_gate, a.feature_gate.shape, a.node_gate.dtype);
    expect("node_gate", "input_feature", a.input_feature, {inputs}, DType::int32);
    for (std::int64_t k = 0; k < inputs; ++k) {
      const std::int32_t feature = a.input_feature.as<std::int32_t>()[k];
      if (feature < 0 || feature >= a.feature_gate.extent(1))
        fail("node_gate", "expected `input_feature` in 0 .. ", a.feature_gate.extent(1) - 1, ", got ", feature);
    }
  }
  if (a.neuron_gate) expect("node_gate", "neuron_gate", a.neuron_gate, {a.table.hidden_count}, a.node_gate.dtype);
}

}  // namespace

void apply_edit_forward(const ApplyEdit& args, Stream) {
  validate(args);
  dispatch_float("apply_edit", args.weight.dtype, [&](auto zero) { forward<decltype(zero)>(args); });
}

void apply_edit_backward(const ApplyEditGradient& args, Stream) {
  validate(args.forward);
  const ApplyEdit& a = args.forward;
  for (const auto& [name, view] :
       {std::pair{"grad_edited_weight", args.grad_edited_weight}, std::pair{"grad_gate", args.grad_gate},
        std::pair{"grad_residual", args.grad_residual}})
    if (view) expect("apply_edit", name, view, a.weight.shape, a.weight.dtype);
  for (const auto& [name, view] :
       {std::pair{"grad_edited_bias", args.grad_edited_bias}, std::pair{"grad_node_gate", args.grad_node_gate},
        std::pair{"grad_bias_residual", args.grad_bias_residual}})
    if (view) expect("apply_edit", name, view, a.bias.shape, a.weight.dtype);
  dispatch_float("apply_edit", args.forward.weight.dtype, [&](auto zero) { backward<decltype(zero)>(args); });
}

void node_gate_forward(const NodeGate& args, Stream) {
  validate(args);
  dispatch_float("node_gate", args.node_gate.dtype, [&](auto zero) {
    using T = decltype(zero);
    const T* feature_gate = elements<T>(args.feature_gate);
    const T* neuron_gate = elements<T>(args.neuron_gate);
    T* out = args.node_gate.as<T>();
    parallel_for(args.table.network_count, [&](std::int64_t n) {
      for_nodes(args, n, [&](std::int64_t node, std::int64_t feature, std::int64_t hidden) {
        out[node] = feature >= 0 ? feature_gate[feature] : hidden >= 0 ? neuron_gate[hidden] : T(1);
      });
    });
  });
}

void node_gate_backward(const NodeGateGradient& args, Stream) {
  validate(args.forward);
  const NodeGate& a = args.forward;
  expect("node_gate", "grad_node_gate", args.grad_node_gate, a.node_gate.shape, a.node_gate.dtype);
  if (args.grad_feature_gate)
    expect("node_gate", "grad_feature_gate", args.grad_feature_gate, a.feature_gate.shape, a.node_gate.dtype);
  if (args.grad_neuron_gate)
    expect("node_gate", "grad_neuron_gate", args.grad_neuron_gate, a.neuron_gate.shape, a.node_gate.dtype);
  dispatch_float("node_gate", args.grad_node_gate.dtype, [&](auto zero) {
    using T = decltype(zero);
    const T* grad = args.grad_node_gate.as<T>();
    T* grad_feature = elements<T>(args.grad_feature_gate);
    T* grad_neuron = elements<T>(args.grad_neuron_gate);
    parallel_for(args.forward.table.network_count, [&](std::int64_t n) {
      for_nodes(args.forward, n, [&](std::int64_t node, std::int64_t feature, std::int64_t hidden) {
        if (feature >= 0 && grad_feature) grad_feature[feature] += grad[node];
        if (hidden >= 0 && grad_neuron) grad_neuron[hidden] += grad[node];
      });
    });
  });
}

void hidden_rows_forward(const HiddenRows& args, Stream) {
  expect("hidden_rows", "x", args.x, {args.table.node_count}, args.y.dtype);
  expect("hidden_rows", "y", args.y, {args.table.hidden_count}, args.y.dtype);
  dispatch_float("hidden_rows", args.y.dtype, [&](auto zero) {
    using T = decltype(zero);
    for (std::int32_t n = 0; n < args.table.network_count; ++n) {
      const Network& network = args.table.network[n];
      std::copy_n(args.x.as<T>() + network.node_offset + network.inputs, network.hidden_count,
                  args.y.as<T>() + network.hidden_offset);
    }
  });
}

void hidden_rows_backward(const HiddenRowsGradient& args, Stream) {
  expect("hidden_rows", "grad_x", args.grad_x, {args.table.node_count}, args.grad_y.dtype);
  expect("hidden_rows", "grad_y", args.grad_y, {args.table.hidden_count}, args.grad_y.dtype);
  dispatch_float("hidden_rows", args.grad_y.dtype, [&](auto zero) {
    using T = decltype(zero);
    for (std::int32_t n = 0; n < args.table.network_count; ++n) {
      const Network& network = args.table.network[n];
      const T* grad_y = args.grad_y.as<T>() + network.hidden_offset;
      T* grad_x = args.grad_x.as<T>() + network.node_offset + network.inputs;
      for (std::int32_t h = 0; h < network.hidden_count; ++h) grad_x[h] += grad_y[h];
    }
  });
}

}  // namespace amend::kernels::cpu
