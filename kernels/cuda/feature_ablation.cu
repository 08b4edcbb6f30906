// The divergence of every feature's ablation: the formulas are in kernels/cpu/feature_ablation.cpp.
// Bytes per network: 4 edges (8 and 4 inputs^2 with gates) once a block, 4 n classes; x and the deviation are shared
// and read from the second-level cache, 8 n inputs. Operations per network and row: 2 (edges of the first block) twice
// over, 2 (edges of the others) + 30 classes + 20 hidden for every feature, 2 inputs for every input of a closed one.
// At Adult's widths the features' passes through the later layers are the floor.
//
// A network that fits shared memory: a block keeps its weights, transposed, and takes tiles of 32 rows. What enters the
// first activation is formed once for a tile. Then eight features at a time are stacked to 256 rows and go through the
// layers, 4 x 4 neurons a thread; a warp adds the divergences of a feature's rows. A second launch adds the tiles in
// order. Larger networks: feature_ablation_wide.cuh.
#include "kernels/feature_ablation.hpp"

#include "kernels/cuda/feature_ablation_wide.cuh"

namespace amend::kernels::AMEND_CUDA_TWIN {

namespace {

constexpr const char* kName = "feature_ablation";
constexpr int kStacked = 8;  // features at a time
constexpr int kRowStride = stride_of(kAblationRows);

struct AblationPlan {
  int x, pre, change, deviation;  // (rows, inputs), (rows, first hidden), (inputs, rows) twice
  int change_weight, closed;      // weights that changes pass, which inputs are closed: int32 (inputs)
  int total;
};

/// Places of a network's layers; `place` may be null.
template <class T>
__device__ AblationPlan plan_ablation(const SubjectNetwork& net, bool gates, LayerPlace* place) {
  AblationPlan plan;
  int next = net.layers * kPlaceElements<T>, widest[2] = {0, 0};
  const int inputs = net.network.inputs, first_weights = padded(inputs) * stride_of(net.block[0].rows);
  for (int l = 0; l < net.layers; ++l) {
    const int rows = net.block[l].rows, cols = net.block[l].cols;
    if (place) place[l] = {.rows = rows, .cols = cols, .weight = next};
    next += padded(cols) * stride_of(rows);
    if (stride_of(rows) > widest[l % 2]) widest[l % 2] = stride_of(rows);
  }
  plan.change_weight = gates ? next : net.layers * kPlaceElements<T>;
  plan.x = next + (gates ? first_weights : 0);
  plan.pre = plan.x + kAblationRows * stride_of(inputs);
  plan.change = plan.pre + kAblationRows * stride_of(net.block[0].rows);
  plan.deviation = plan.change + padded(inputs) * kRowStride;
  plan.closed = plan.deviation + (gates ? padded(inputs) * kRowStride : 0);
  const int buffer = plan.closed + (gates ? padded(inputs) : 0);
  for (int l = 0; place && l < net.layers; ++l)
    place[l].target = buffer + (l % 2) * kStacked * kAblationRows * widest[0];
  plan.total = buffer + kStacked * kAblationRows * (widest[0] + widest[1]);
  return plan;
}

template <class T>
std::int64_t most_ablation_elements(const LargestNetwork& most, bool gates) {
  const std::int64_t strides = most.strides() + most.classes + 7;
  return kPlaceElements<T> * most.layers + most.weights() * (gates ? 2 : 1) +
         kAblationRows * (stride_of(most.inputs) + strides) +
         padded(most.inputs) * (gates ? 2 * kRowStride + 1 : kRowStride) + kStacked * kAblationRows * strides;
}

/// Transposed weights of the first layer that changes of inputs pass, and which inputs are closed.
template <class T>
__device__ void load_change_weights(const AblationPass<T>& a, const SubjectNetwork& net, T* tile,
                                    std::int32_t* closed) {
  const int inputs = a.inputs, out = net.block[0].rows;
  for (int j = static_cast<int>(threadIdx.x); j < padded(inputs); j += static_cast<int>(blockDim.x)) closed[j] = 0;
  __syncthreads();
  for (int f = static_cast<int>(threadIdx.x); f < a.features; f += static_cast<int>(blockDim.x)) {
    const FeatureColumns columns(a.feature_offset, f, inputs);
    for (int j = columns.begin; a.closed(net.index, f) && j < columns.end; ++j) closed[j] = 1;
  }
  __syncthreads();
  const std::int64_t first = net.block[0].edge_offset;
  for (int e = static_cast<int>(threadIdx.x); e < inputs * padded(out); e += static_cast<int>(blockDim.x)) {
    const int o = e / inputs, j = e - o * inputs;
    const T* weight = closed[j] ? a.closed_weight : a.weight;
    tile[j * stride_of(out) + o] = o < out ? weight[first + o * inputs + j] : T(0);
  }
}

/// change = deviation - beta deviation of the closed inputs; four inputs and four rows a thread.
template <class T>
__device__ void restore_changes(const AblationPass<T>& a, const SubjectNetwork& net, const std::int32_t* closed,
                                const T* deviation, T* change) {
  constexpr int kAcross = kAblationRows / 4;
  const T* beta = a.beta + std::int64_t{net.index} * a.inputs * a.inputs;
  const bool aligned = in_quads(beta, a.inputs);
  for (int t = static_cast<int>(threadIdx.x); t < quads(a.inputs) * kAcross; t += static_cast<int>(blockDim.x)) {
    const int j = 4 * (t / kAcross), r = 4 * (t % kAcross);
    if (!(closed[j] | closed[j + 1] | closed[j + 2] | closed[j + 3])) continue;
    Quad<T> sum[4] = {};
    for (int k = 0; k < a.inputs; k += 4) {
      Quad<T> share[4], d[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        share[i] = read_quad(beta + (j + i < a.inputs ? j + i : j) * a.inputs, k, a.inputs, aligned);
        d[i] = load_quad(deviation + (k + i) * kRowStride + r);
      }
#pragma unroll
      for (int l = 0; l < 4; ++l)
#pragma unroll
        for (int i = 0; i < 4; ++i)
#pragma unroll
          for (int e = 0; e < 4; ++e) sum[i].value[e] += share[i].value[l] * d[l].value[e];
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (!closed[j + i]) continue;
      Quad<T> own = load_quad(deviation + (j + i) * kRowStride + r);
#pragma unroll
      for (int e = 0; e < 4; ++e) own.value[e] -= sum[i].value[e];
      store_quad(change + (j + i) * kRowStride + r, own);
    }
  }
}

/// Blocks (network, y): y walks over row tiles.
template <class T>
__global__ void __launch_bounds__(kThreads, 2) ablation_kernel(AblationPass<T> a) {
  const SubjectNetwork net(a.table, static_cast<int>(blockIdx.x));
  const bool gates = a.gate != nullptr;
  const AblationPlan plan = plan_ablation<T>(net, gates, nullptr);
  if (plan.total > a.limit) return;
  T* memory = dynamic_shared_memory<T>();
  LayerPlace* place = reinterpret_cast<LayerPlace*>(memory);
  if (threadIdx.x == 0) plan_ablation<T>(net, gates, place);
  __syncthreads();
  std::int32_t* closed = reinterpret_cast<std::int32_t*>(memory + plan.closed);
  const T* change_weight = memory + plan.change_weight;
  T *pre = memory + plan.pre, *change = memory + plan.change, *deviation = memory + plan.deviation;
  for (int l = 0; l < net.layers; ++l)
    load_transposed(memory + place[l].weight, place[l].cols, place[l].rows, a.weight + net.block[l].edge_offset);
  if (gates) load_change_weights(a, net, memory + plan.change_weight, closed);
  const std::int32_t activation = net.network.activation;
  const bool aligned_x = in_quads(a.x, a.inputs);
  const LayerPlace bottom = place[0];
  const int bottom_stride = stride_of(bottom.rows), across = quads(bottom.rows);
  for (std::int64_t first = blockIdx.y * std::int64_t{kAblationRows}; first < a.count;
       first += gridDim.y * std::int64_t{kAblationRows}) {
    const int count = static_cast<int>(a.count - first < kAblationRows ? a.count - first : kAblationRows);
    load_rows(memory + plan.x, kAblationRows, a.inputs, count, aligned_x,
              [&](int r) { return a.x + (first + r) * a.inputs; });
    for (int e = static_cast<int>(threadIdx.x); e < padded(a.inputs) * kAblationRows;
         e += static_cast<int>(blockDim.x)) {
      const int j = e / kAblationRows, r = e % kAblationRows;
      const T d = j < a.inputs && r < count ? a.deviation[j * a.count + first + r] : T(0);
      change[j * kRowStride + r] = -d;
      if (gates) deviation[j * kRowStride + r] = d;
    }
    __syncthreads();
    multiply_tile(memory + plan.x, stride_of(a.inputs), memory + bottom.weight, bottom_stride, kAblationRows, a.inputs,
                  bottom.rows, [&](int r, int c, const Quad<T>(&sum)[4]) {
#pragma unroll
                    for (int i = 0; i < 4; ++i) {
                      Quad<T> y = sum[i];
#pragma unroll
                      for (int j = 0; j < 4; ++j)
                        if (c + j < bottom.rows) y.value[j] += a.bias[net.block[0].target_offset + c + j];
                      store_quad(pre + (r + i * (kAblationRows / 4)) * bottom_stride + c, y);
                    }
                  });
    if (gates) restore_changes(a, net, closed, deviation, change);
    __syncthreads();
    for (int begin = 0; begin < a.features; begin += kStacked) {
      const int stacked = a.features - begin < kStacked ? a.features - begin : kStacked;
      for (int t = static_cast<int>(threadIdx.x); t < stacked * (kAblationRows / 4) * across;
           t += static_cast<int>(blockDim.x)) {
        const int group = t / across, c = 4 * (t - group * across), r = 4 * (group % (kAblationRows / 4));
        // Most features have one column.
        const FeatureColumns columns(a.feature_offset, begin + group / (kAblationRows / 4), a.inputs);
        Quad<T> y[4];
#pragma unroll
        for (int i = 0; i < 4; ++i) y[i] = load_quad(pre + (r + i) * bottom_stride + c);
        multiply_columns<1>(change + columns.begin * kRowStride + r, kRowStride,
                            change_weight + columns.begin * bottom_stride + c, bottom_stride,
                            columns.end - columns.begin, y);
        T slope;
#pragma unroll
        for (int i = 0; i < 4; ++i) {
#pragma unroll
          for (int j = 0; j < 4; ++j) {
            if (net.layers > 1) y[i].value[j] = activate(activation, y[i].value[j], slope);
            if (c + j >= bottom.rows) y[i].value[j] = T(0);
          }
          store_quad(memory + bottom.target + (4 * group + i) * bottom_stride + c, y[i]);
        }
      }
      __syncthreads();
      const int rows = stacked * kAblationRows;
      for (int l = 1; l < net.layers; ++l) {
        const LayerPlace at = place[l];
        const T* bias = a.bias + net.block[l].target_offset;
        const bool last = l + 1 == net.layers;
        multiply_tile(memory + place[l - 1].target, stride_of(at.cols), memory + at.weight, stride_of(at.rows), rows,
                      at.cols, at.rows, [&](int r, int c, const Quad<T>(&sum)[4]) {
                        T slope;
#pragma unroll
                        for (int i = 0; i < 4; ++i) {
                          Quad<T> y{};
#pragma unroll
                          for (int j = 0; j < 4; ++j) {
                            if (c + j >= at.rows) continue;
                            y.value[j] = sum[i].value[j] + bias[c + j];
                            if (!last) y.value[j] = activate(activation, y.value[j], slope);
                          }
                          store_quad(memory + at.target + (r + i * (rows / 4)) * stride_of(at.rows) + c, y);
                        }
                      });
        __syncthreads();
      }
      const int lane = static_cast<int>(threadIdx.x) % kWarp;
      const T* changed = memory + place[net.layers - 1].target;
      for (int f = static_cast<int>(threadIdx.x) / kWarp; f < stacked; f += static_cast<int>(blockDim.x) / kWarp) {
        const T sum = divergence_of_warp(a.logits + (net.index * a.rows + first + lane) * a.classes,
                                         changed + (f * kAblationRows + lane) * stride_of(a.classes), a.classes,
                                         lane < count, FeatureColumns(a.feature_offset, begin + f, a.inputs).valid);
        if (lane == 0) a.sum(first / kAblationRows, net.index, begin + f) = sum;
      }
      __syncthreads();  // the next features overwrite the layers
    }
  }
}

template <class T>
struct AblationLargerThanChip {
  bool gates;
  int limit;
  __device__ bool operator()(const SubjectNetwork& net) const {
    return plan_ablation<T>(net, gates, nullptr).total > limit;
  }
};

template <class T>
void run(const FeatureAblation& args, Stream stream) {
  AblationPass<T> a(args);
  const std::int64_t networks = a.table.network_count, values = networks * a.features,
                     tiles = ceil_div(a.count, kAblationRows);
  if (values == 0) return;
  const DeviceLimits limits = device_limits(stream);
  const LargestNetwork most(a.table, a.inputs, a.classes);
  a.limit = on_chip_elements<T>(limits);
  const bool gates = a.gate != nullptr;
  const std::int64_t elements = most_ablation_elements<T>(most, gates);
  const WideAblation<T> wide(a, most, limits);
  T* partial = a.partial = workspace<T>(stream, tiles * values + (elements > a.limit ? wide.elements() : 0));
  dim3 grid = grid_of(networks);
  grid.y = row_blocks(limits, networks, tiles, 2);
  launch(ablation_kernel<T>, grid, dim3(most.hidden <= 16 ? 128 : kThreads),
         static_cast<std::size_t>(elements < a.limit ? elements : a.limit) * sizeof(T), stream, a);
  if (elements > a.limit)
    wide.run(a, AblationLargerThanChip<T>{.gates = gates, .limit = a.limit}, partial + tiles * values, stream);
  T* divergence = args.divergence.as<T>();
  const double count = static_cast<double>(a.count);
  for_elements(values, stream, [=] __device__(std::int64_t i) {
    double sum = 0;
    for (std::int64_t t = 0; t < tiles; ++t) sum += static_cast<double>(partial[t * values + i]);
    divergence[i] = static_cast<T>(sum / count);
  });
}

template <class T>
void value(const FeatureValue& a, Stream stream) {
  const T *gate = a.gate.as<T>(), *divergence = a.divergence.as<T>(), *coefficient = elements<T>(a.coefficient);
  T* result = a.value.as<T>();
  const std::int64_t features = a.gate.extent(1);
  for_elements(a.gate.count(), stream, [=] __device__(std::int64_t i) {
    const std::int64_t n = i / features;
    const T saved = gate[i] > T(0.5) ? result[i] - divergence[n] : divergence[n] - result[i];
    result[i] = coefficient ? coefficient[n] * saved : saved;
  });
}

void validate(const FeatureAblation& a) {
  const DType dtype = a.x.dtype;
  if (a.x.shape.rank() != 2) fail(kName, "expected `x` of rank 2, got shape ", to_string(a.x.shape));
  if (a.logits.shape.rank() != 3) fail(kName, "expected `logits` of rank 3, got shape ", to_string(a.logits.shape));
  if (a.deviation.shape.rank() != 2)
    fail(kName, "expected `deviation` of rank 2, got shape ", to_string(a.deviation.shape));
  check(a.feature_offset.data != nullptr && a.feature_offset.count() >= 1, kName, "`feature_offset` is missing");
  const std::int64_t rows = a.x.extent(0), inputs = a.x.extent(1), networks = a.table.network_count,
                     features = a.feature_offset.count() - 1, count = a.deviation.extent(1);
  check(count >= 1 && count <= rows, kName, "expected a deviation of 1 to ", rows, " rows, got ", count);
  expect(kName, "weight", a.weight, {a.table.edge_count}, dtype);
  expect(kName, "bias", a.bias, {a.table.node_count}, dtype);
  expect(kName, "deviation", a.deviation, {inputs, count}, dtype);
  expect(kName, "divergence", a.divergence, {networks, features}, dtype);
  expect(kName, "logits", a.logits, {networks, rows, a.logits.extent(2)}, dtype);
  if (!a.feature_gate) return;
  expect(kName, "feature_gate", a.feature_gate, {networks, features}, dtype);
  expect(kName, "closed_weight", a.closed_weight, {a.table.edge_count}, dtype);
  expect(kName, "beta", a.beta, {networks, inputs, inputs}, dtype);
}

}  // namespace

void feature_ablation(const FeatureAblation& args, Stream stream) {
  validate(args);
  dispatch_float(kName, args.x.dtype, [&](auto zero) { run<decltype(zero)>(args, stream); });
}

void feature_value(const FeatureValue& args, Stream stream) {
  check(args.gate.shape.rank() == 2, "feature_value", "expected `gate` of rank 2, got shape ", args.gate.shape);
  const std::int64_t networks = args.gate.extent(0);
  expect("feature_value", "divergence", args.divergence, {networks}, args.gate.dtype);
  if (args.coefficient) expect("feature_value", "coefficient", args.coefficient, {networks}, args.gate.dtype);
  expect("feature_value", "value", args.value, args.gate.shape, args.gate.dtype);
  dispatch_float("feature_value", args.gate.dtype, [&](auto zero) { value<decltype(zero)>(args, stream); });
}

}  // namespace amend::kernels::AMEND_CUDA_TWIN
