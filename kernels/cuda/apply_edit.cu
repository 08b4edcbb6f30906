// w' = S_j N_i m (w + scale r); b' = N_i (b + sum_j (w - w') mu_j + scale r_b). A warp a target row, a block a weight
// matrix (several for large ones); sums over source columns are a second launch, a thread a column.
// Bytes an edge: 16 forward, 24 backward and 16 for the columns. Operations an edge: 6 forward, 18 backward.
#include "kernels/apply_edit.hpp"

#include "kernels/cuda/reduction.cuh"

namespace amend::kernels::AMEND_CUDA_TWIN {

namespace {

constexpr int kRowThreads = 128, kWarpsOfRow = kRowThreads / kWarp;

template <class T>
struct Edit {
  const Block* block;
  const T *weight, *base, *bias, *mean, *scale, *gate, *residual, *node_gate, *bias_residual;

  explicit Edit(const ApplyEdit& a)
      : block(a.table.block),
        weight(a.weight.as<T>()),
        base(a.base ? a.base.as<T>() : weight),
        bias(a.bias.as<T>()),
        mean(a.mean.as<T>()),
        scale(a.scale.as<T>()),
        gate(a.gate.as<T>()),
        residual(a.residual.as<T>()),
        node_gate(a.node_gate.as<T>()),
        bias_residual(a.bias_residual.as<T>()) {}

  __device__ bool absent(std::int64_t edge) const { return weight[edge] == T(0); }
  __device__ T moved(std::int64_t edge, T block_scale) const {
    return absent(edge) ? T(0) : base[edge] + block_scale * residual[edge];
  }
};

/// Blocks in x, shares of their rows in y: which warp does a row has no influence on the row.
dim3 row_grid(const BlockTable& table) {
  dim3 grid = grid_of(table.block_count);
  const std::int64_t shares = ceil_div(table.max_nodes, 8 * kWarpsOfRow);
  grid.y = static_cast<unsigned>(shares < 1 ? 1 : shares > 64 ? 64 : shares);
  return grid;
}

template <class T>
__global__ void __launch_bounds__(kRowThreads) forward_kernel(Edit<T> e, T* edited_weight, T* edited_bias) {
  const Block block = e.block[blockIdx.x];
  const T scale = e.scale[blockIdx.x];
  const int lane = static_cast<int>(threadIdx.x % kWarp);
  for (std::int64_t i = blockIdx.y * kWarpsOfRow + threadIdx.x / kWarp; i < block.rows; i += gridDim.y * kWarpsOfRow) {
    const std::int64_t target = block.target_offset + i, row = block.edge_offset + i * block.cols;
    const T target_gate = e.node_gate[target];
    T fold = T(0);
    for (std::int64_t j = lane; j < block.cols; j += kWarp) {
      const std::int64_t source = block.source_offset + j, k = row + j;
      const T w = e.node_gate[source] * target_gate * e.gate[k] * e.moved(k, scale);
      edited_weight[k] = w;
      fold += (e.weight[k] - w) * e.mean[source];
    }
    fold = warp_sum(fold);
    if (lane == 0) edited_bias[target] = target_gate * (e.bias[target] + fold + scale * e.bias_residual[target]);
  }
}

template <class T>
void forward(const ApplyEdit& a, Stream stream) {
  T* edited_bias = a.edited_bias.as<T>();
  const Segments nodes = a.table.network_nodes;
  const Network* network = a.table.network;
  for_elements(a.table.node_count, stream, [=] __device__(std::int64_t node) {
    const std::int32_t n = segment_of(nodes, node);
    if (node - nodes.offset[n] < network[n].inputs) edited_bias[node] = T(0);
  });
  launch(forward_kernel<T>, row_grid(a.table), dim3(kRowThreads), 0, stream, Edit<T>(a), a.edited_weight.as<T>(),
         edited_bias);
}

template <class T>
struct EditGradient {
  const T *edited_weight, *grad_weight, *grad_bias;
  T *grad_base, *grad_gate, *grad_residual, *grad_node_gate, *grad_bias_residual;

  explicit EditGradient(const ApplyEditGradient& g)
      : edited_weight(g.forward.edited_weight.as<T>()),
        grad_weight(elements<T>(g.grad_edited_weight)),
        grad_bias(elements<T>(g.grad_edited_bias)),
        grad_base(elements<T>(g.grad_base)),
        grad_gate(elements<T>(g.grad_gate)),
        grad_residual(elements<T>(g.grad_residual)),
        grad_node_gate(elements<T>(g.grad_node_gate)),
        grad_bias_residual(elements<T>(g.grad_bias_residual)) {}

  /// What reaches an edited weight, directly and through the fold into the bias.
  __device__ T of_weight(std::int64_t edge, T bias_gradient, T target_gate, T mean) const {
    return (grad_weight ? grad_weight[edge] : T(0)) - bias_gradient * target_gate * mean;
  }
};

template <class T>
__global__ void __launch_bounds__(kRowThreads) row_gradient_kernel(Edit<T> e, EditGradient<T> g) {
  const Block block = e.block[blockIdx.x];
  const T scale = e.scale[blockIdx.x];
  const int lane = static_cast<int>(threadIdx.x % kWarp);
  for (std::int64_t i = blockIdx.y * kWarpsOfRow + threadIdx.x / kWarp; i < block.rows; i += gridDim.y * kWarpsOfRow) {
    const std::int64_t target = block.target_offset + i, row = block.edge_offset + i * block.cols;
    const T target_gate = e.node_gate[target], gb = g.grad_bias ? g.grad_bias[target] : T(0);
    T fold = T(0), grad_target = T(0);
    for (std::int64_t j = lane; j < block.cols; j += kWarp) {
      const std::int64_t source = block.source_offset + j, k = row + j;
      const T moved = e.moved(k, scale), source_gate = e.node_gate[source], m = e.gate[k];
      const T gw = g.of_weight(k, gb, target_gate, e.mean[source]);
      fold += (e.weight[k] - g.edited_weight[k]) * e.mean[source];
      if (g.grad_base && !e.absent(k)) g.grad_base[k] += gw * source_gate * target_gate * m;
      if (g.grad_gate) g.grad_gate[k] += gw * source_gate * target_gate * moved;
      if (g.grad_residual && !e.absent(k)) g.grad_residual[k] += gw * source_gate * target_gate * m * scale;
      grad_target += gw * source_gate * m * moved;
    }
    fold = warp_sum(fold);
    grad_target = warp_sum(grad_target);
    if (lane != 0) continue;
    grad_target += gb * (e.bias[target] + fold + scale * e.bias_residual[target]);
    if (g.grad_node_gate) g.grad_node_gate[target] += grad_target;
    if (g.grad_bias_residual) g.grad_bias_residual[target] += gb * target_gate * scale;
  }
}

/// grad_node_gate of the source neurons: one block feeds on a neuron, and one thread adds its column.
template <class T>
__global__ void __launch_bounds__(kRowThreads) column_gradient_kernel(Edit<T> e, EditGradient<T> g) {
  const Block block = e.block[blockIdx.x];
  const T scale = e.scale[blockIdx.x];
  for (std::int64_t j = threadIdx.x; j < block.cols; j += kRowThreads) {
    const std::int64_t source = block.source_offset + j;
    T sum = T(0);
    for (std::int64_t i = 0; i < block.rows; ++i) {
      const std::int64_t target = block.target_offset + i, k = block.edge_offset + i * block.cols + j;
      const T target_gate = e.node_gate[target], gb = g.grad_bias ? g.grad_bias[target] : T(0);
      sum += g.of_weight(k, gb, target_gate, e.mean[source]) * target_gate * e.gate[k] * e.moved(k, scale);
    }
    g.grad_node_gate[source] += sum;
  }
}

template <class T>
void backward(const ApplyEditGradient& g, Stream stream) {
  const BlockTable& table = g.forward.table;
  const Edit<T> edit(g.forward);
  const EditGradient<T> gradient(g);
  launch(row_gradient_kernel<T>, row_grid(table), dim3(kRowThreads), 0, stream, edit, gradient);
  if (gradient.grad_node_gate)
    launch(column_gradient_kernel<T>, grid_of(table.block_count), dim3(kRowThreads), 0, stream, edit, gradient);
}

/// Where a node's gate comes from.
struct GateSource {
  Segments nodes;
  const Network* network;
  const std::int32_t* input_feature;  // null: features have no gates
  std::int64_t features;
  bool neurons;

  explicit GateSource(const NodeGate& a)
      : nodes(a.table.network_nodes),
        network(a.table.network),
        input_feature(a.feature_gate ? a.input_feature.as<std::int32_t>() : nullptr),
        features(a.feature_gate ? a.feature_gate.extent(1) : 0),
        neurons(static_cast<bool>(a.neuron_gate)) {}

  struct Index {
    std::int64_t feature, hidden;  // -1: none; -2: a feature that is not there
  };
  __device__ Index of(std::int64_t node) const {
    const std::int32_t n = segment_of(nodes, node);
    const std::int64_t k = node - nodes.offset[n], hidden = k - network[n].inputs;
    if (hidden < 0) {
      if (!input_feature) return {-1, -1};
      const std::int64_t feature = input_feature[k];
      return {feature >= 0 && feature < features ? n * features + feature : -2, -1};
    }
    return {-1, neurons && hidden < network[n].hidden_count ? network[n].hidden_offset + hidden : -1};
  }
};

template <class T>
void spread_gates(const NodeGate& a, Stream stream) {
  const GateSource gates(a);
  const T *feature_gate = elements<T>(a.feature_gate), *neuron_gate = elements<T>(a.neuron_gate);
  T* out = a.node_gate.as<T>();
  for_elements(a.table.node_count, stream, [=] __device__(std::int64_t node) {
    const GateSource::Index index = gates.of(node);
    out[node] = index.feature >= 0    ? feature_gate[index.feature]
                : index.feature == -2 ? not_a_number<T>()
                : index.hidden >= 0   ? neuron_gate[index.hidden]
                                      : T(1);
  });
}

template <class T>
void collect_gates(const NodeGateGradient& g, Stream stream) {
  const NodeGate& a = g.forward;
  const GateSource gates(a);
  const T* grad = g.grad_node_gate.as<T>();
  if (a.feature_gate && g.grad_feature_gate) {
    T* grad_feature = g.grad_feature_gate.as<T>();
    for_elements(g.grad_feature_gate.count(), stream, [=] __device__(std::int64_t i) {
      const std::int64_t n = i / gates.features, feature = i - n * gates.features;
      T sum = T(0);
      for (std::int64_t k = 0; k < gates.network[n].inputs; ++k)
        if (gates.input_feature[k] == feature) sum += grad[gates.network[n].node_offset + k];
      grad_feature[i] += sum;
    });
  }
  if (a.neuron_gate && g.grad_neuron_gate) {
    T* grad_neuron = g.grad_neuron_gate.as<T>();
    for_elements(a.table.node_count, stream, [=] __device__(std::int64_t node) {
      const std::int64_t hidden = gates.of(node).hidden;
      if (hidden >= 0) grad_neuron[hidden] += grad[node];
    });
  }
}

/// Calls `body(hidden row, node)` for every hidden neuron of the batch.
template <class Body>
void for_hidden(const BlockTable& table, Stream stream, const Body& body) {
  const Segments hidden = table.network_hidden;
  const Network* network = table.network;
  for_elements(table.hidden_count, stream, [=] __device__(std::int64_t h) {
    const std::int32_t n = segment_of(hidden, h);
    body(h, network[n].node_offset + network[n].inputs + h - hidden.offset[n]);
  });
}

template <class T>
void copy_hidden(const HiddenRows& a, Stream stream) {
  const T* x = a.x.as<T>();
  T* y = a.y.as<T>();
  for_hidden(a.table, stream, [=] __device__(std::int64_t h, std::int64_t node) { y[h] = x[node]; });
}

template <class T>
void add_hidden(const HiddenRowsGradient& g, Stream stream) {
  const T* grad_y = g.grad_y.as<T>();
  T* grad_x = g.grad_x.as<T>();
  for_hidden(g.table, stream, [=] __device__(std::int64_t h, std::int64_t node) { grad_x[node] += grad_y[h]; });
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

void validate(const NodeGate& a) {
  const DType dtype = a.node_gate.dtype;
  expect("node_gate", "node_gate", a.node_gate, {a.table.node_count}, dtype);
  if (a.feature_gate) {
    check(a.feature_gate.shape.rank() == 2, "node_gate", "expected feature gates of rank 2, got ",
          a.feature_gate.shape);
    expect("node_gate", "feature_gate", a.feature_gate, {a.table.network_count, a.feature_gate.extent(1)}, dtype);
    expect("node_gate", "input_feature", a.input_feature, a.input_feature.shape, DType::int32);
  }
  if (a.neuron_gate) expect("node_gate", "neuron_gate", a.neuron_gate, {a.table.hidden_count}, dtype);
}

}  // namespace

void apply_edit_forward(const ApplyEdit& args, Stream stream) {
  validate(args);
  dispatch_float("apply_edit", args.weight.dtype, [&](auto zero) { forward<decltype(zero)>(args, stream); });
}

void apply_edit_backward(const ApplyEditGradient& args, Stream stream) {
  validate(args.forward);
  const ApplyEdit& a = args.forward;
  for (const auto& [name, view] :
       {std::pair{"grad_edited_weight", args.grad_edited_weight}, std::pair{"grad_base", args.grad_base},
        std::pair{"grad_gate", args.grad_gate}, std::pair{"grad_residual", args.grad_residual}})
    if (view) expect("apply_edit", name, view, a.weight.shape, a.weight.dtype);
  for (const auto& [name, view] :
       {std::pair{"grad_edited_bias", args.grad_edited_bias}, std::pair{"grad_node_gate", args.grad_node_gate},
        std::pair{"grad_bias_residual", args.grad_bias_residual}})
    if (view) expect("apply_edit", name, view, a.bias.shape, a.weight.dtype);
  dispatch_float("apply_edit", a.weight.dtype, [&](auto zero) { backward<decltype(zero)>(args, stream); });
}

void node_gate_forward(const NodeGate& args, Stream stream) {
  validate(args);
  dispatch_float("node_gate", args.node_gate.dtype, [&](auto zero) { spread_gates<decltype(zero)>(args, stream); });
}

void node_gate_backward(const NodeGateGradient& args, Stream stream) {
  validate(args.forward);
  const NodeGate& a = args.forward;
  const DType dtype = a.node_gate.dtype;
  expect("node_gate", "grad_node_gate", args.grad_node_gate, a.node_gate.shape, dtype);
  if (args.grad_feature_gate)
    expect("node_gate", "grad_feature_gate", args.grad_feature_gate, a.feature_gate.shape, dtype);
  if (args.grad_neuron_gate) expect("node_gate", "grad_neuron_gate", args.grad_neuron_gate, a.neuron_gate.shape, dtype);
  dispatch_float("node_gate", dtype, [&](auto zero) { collect_gates<decltype(zero)>(args, stream); });
}

void hidden_rows_forward(const HiddenRows& args, Stream stream) {
  expect("hidden_rows", "x", args.x, {args.table.node_count}, args.y.dtype);
  expect("hidden_rows", "y", args.y, {args.table.hidden_count}, args.y.dtype);
  dispatch_float("hidden_rows", args.y.dtype, [&](auto zero) { copy_hidden<decltype(zero)>(args, stream); });
}

void hidden_rows_backward(const HiddenRowsGradient& args, Stream stream) {
  expect("hidden_rows", "grad_x", args.grad_x, {args.table.node_count}, args.grad_y.dtype);
  expect("hidden_rows", "grad_y", args.grad_y, {args.table.hidden_count}, args.grad_y.dtype);
  dispatch_float("hidden_rows", args.grad_y.dtype, [&](auto zero) { add_hidden<decltype(zero)>(args, stream); });
}

}  // namespace amend::kernels::AMEND_CUDA_TWIN
