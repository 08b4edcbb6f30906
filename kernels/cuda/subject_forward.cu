// Per network: a_0 = x, a_l = f(a_{l-1} W_l^T + b_l), logits = a_{L-1} W_L^T + b_L; slope_l = f'.
// Backward: delta_L = grad_logits, delta_{l-1} = (delta_l W_l) * slope_{l-1}; grad W_l = delta_l^T a_{l-1}.
// Bytes: 4 rows (2 hidden + classes) written and 4 edges read per network forward; backward reads 4 rows (2 hidden +
// classes) and moves 12 edges; x is shared and stays in the second-level cache: 4 rows inputs per network from there.
// Operations: 2 rows edges forward; backward as much for the weights and, without the first block, for the error
// signal. At Adult's widths the operations are the floor in plain float32.
//
// Forward, a network that fits shared memory: a block keeps its weights, transposed, and takes row tiles of 64 through
// all layers; a thread forms 4 x 4 neurons of a tile at a time. Few networks: several blocks share one's tiles. Larger
// networks, and the backward pass: subject_wide.cuh, subject_sums.cuh. cuBLAS is not used: which of its kernels runs
// depends on the size of the batch, and with it the bits.
#include "kernels/subject_forward.hpp"

#include "kernels/cuda/subject_sums.cuh"
#include "kernels/cuda/subject_wide.cuh"

namespace amend::kernels::AMEND_CUDA_TWIN {

namespace {

constexpr int kRows = 64;  // of a tile
constexpr int kMaxThreads = 256;

/// Places of a network's layers; returns the elements of shared memory that a block needs. `place` may be null.
template <class T>
__device__ int plan_forward(const SubjectNetwork& net, LayerPlace* place) {
  int next = net.layers * kPlaceElements<T>, widest[2] = {0, 0};
  for (int l = 0; l < net.layers; ++l) {
    const int rows = net.block[l].rows, cols = net.block[l].cols;
    if (place) place[l] = {.rows = rows, .cols = cols, .weight = next};
    next += padded(cols) * stride_of(rows);
    if (l + 1 < net.layers && stride_of(rows) > widest[l % 2]) widest[l % 2] = stride_of(rows);
  }
  // Layers write to two buffers in turn.
  const int buffer[2] = {next + kRows * stride_of(net.network.inputs),
                         next + kRows * (stride_of(net.network.inputs) + widest[0])};
  for (int l = 0; place && l < net.layers; ++l) {
    place[l].source = l == 0 ? next : buffer[(l - 1) % 2];
    place[l].target = buffer[l % 2];
  }
  return buffer[1] + kRows * widest[1];
}

template <class T>
std::int64_t most_forward_elements(const LargestNetwork& most) {
  return kPlaceElements<T> * most.layers + most.weights() + kRows * (stride_of(most.inputs) + most.strides());
}

template <class T>
__global__ void __launch_bounds__(kMaxThreads) forward_kernel(SubjectPass<T> a, int limit) {
  const SubjectNetwork net(a.table, static_cast<int>(blockIdx.x));
  if (plan_forward<T>(net, nullptr) > limit) return;
  T* memory = dynamic_shared_memory<T>();
  LayerPlace* place = reinterpret_cast<LayerPlace*>(memory);
  if (threadIdx.x == 0) plan_forward<T>(net, place);
  __syncthreads();
  for (int l = 0; l < net.layers; ++l)
    load_transposed(memory + place[l].weight, place[l].cols, place[l].rows, a.weight + net.block[l].edge_offset);
  const std::int32_t activation = net.network.activation;
  const bool aligned_x = in_quads(a.x, a.inputs);
  for (std::int64_t first = blockIdx.y * std::int64_t{kRows}; first < a.rows;
       first += gridDim.y * std::int64_t{kRows}) {
    const int count = static_cast<int>(a.rows - first < kRows ? a.rows - first : kRows);
    load_rows(memory + place[0].source, kRows, a.inputs, count, aligned_x,
              [&](int r) { return a.input_row(net.index, first + r); });
    for (int l = 0; l < net.layers; ++l) {
      __syncthreads();
      const LayerPlace at = place[l];
      const bool last = l + 1 == net.layers;
      T* kept = last           ? a.logits + (net.index * a.rows + first) * a.classes
                : a.activation ? net.hidden(a.activation, l, a.rows) + first * at.rows
                               : nullptr;
      T* slopes = last || !a.slope ? nullptr : net.hidden(a.slope, l, a.rows) + first * at.rows;
      const T* bias = a.bias + net.block[l].target_offset;
      const bool aligned = in_quads(kept, at.rows) && in_quads(slopes, at.rows);
      multiply_tile(memory + at.source, stride_of(at.cols), memory + at.weight, stride_of(at.rows), kRows, at.cols,
                    at.rows, [&](int r, int c, const Quad<T>(&sum)[4]) {
                      Quad<T> shift{};
#pragma unroll
                      for (int j = 0; j < 4; ++j)
                        if (c + j < at.rows) shift.value[j] = bias[c + j];
#pragma unroll
                      for (int i = 0; i < 4; ++i) {
                        const int row = r + i * (kRows / 4);
                        Quad<T> y, d{};
#pragma unroll
                        for (int j = 0; j < 4; ++j) {
                          y.value[j] = sum[i].value[j] + shift.value[j];
                          if (!last) y.value[j] = activate(activation, y.value[j], d.value[j]);
                          if (c + j >= at.rows) y.value[j] = T(0);
                        }
                        if (!last) store_quad(memory + at.target + row * stride_of(at.rows) + c, y);
                        if (row >= count) continue;
                        if (kept) write_quad(kept + row * at.rows, c, at.rows, aligned, y);
                        if (slopes) write_quad(slopes + row * at.rows, c, at.rows, aligned, d);
                      }
                    });
    }
    __syncthreads();  // the next tile overwrites what the last layer reads
  }
}

/// The networks that forward_kernel leaves out.
template <class T>
struct ForwardLargerThanChip {
  int limit;
  __device__ bool operator()(const SubjectNetwork& net) const { return plan_forward<T>(net, nullptr) > limit; }
};

template <class T>
void forward(const SubjectForward& args, Stream stream) {
  const SubjectPass<T> a(args);
  const std::int64_t networks = a.table.network_count, tiles = ceil_div(a.rows, kRows);
  if (networks == 0 || a.rows == 0) return;
  const DeviceLimits limits = device_limits(stream);
  const LargestNetwork most(a.table, a.inputs, a.classes);
  const int limit = on_chip_elements<T>(limits);
  const std::int64_t elements = most_forward_elements<T>(most);
  dim3 grid = grid_of(networks);
  grid.y = row_blocks(limits, networks, tiles, 4);
  // Two rounds of a block's threads for a layer of all hidden neurons; neighbours of other sizes change no bits.
  const int threads = most.hidden <= 16 ? 64 : most.hidden <= 64 ? 128 : kMaxThreads;
  launch(forward_kernel<T>, grid, dim3(static_cast<unsigned>(threads)),
         static_cast<std::size_t>(elements < limit ? elements : limit) * sizeof(T), stream, a, limit);
  if (elements > limit) forward_wide(a, most, limits, ForwardLargerThanChip<T>{limit}, stream);
}

template <class T>
void backward(const SubjectForwardGradient& g, Stream stream) {
  SubjectSums<T> sums(g.forward);
  sums.grad_logits = g.grad_logits.as<T>();
  sums.objectives = 1;
  sums.gradient = elements<T>(g.grad_weight);
  sums.gradient_bias = elements<T>(g.grad_bias);
  sums.add = true;
  if (!sums.gradient && !sums.gradient_bias) return;
  const SubjectSumsPass<T> pass(sums, stream);
  pass.run(pass.elements() > 0 ? workspace<T>(stream, pass.elements()) : nullptr);
}

void validate(const char* name, const SubjectForward& a) {
  const BlockTable& table = a.table;
  const DType dtype = a.x.dtype;
  check(a.x.shape.rank() == 2, name, "expected `x` of rank 2, got shape ", a.x.shape);
  check(a.logits.shape.rank() == 3, name, "expected `logits` of rank 3, got shape ", a.logits.shape);
  const std::int64_t rows = a.logits.extent(1), networks = table.network_count;
  expect(name, "weight", a.weight, {table.edge_count}, dtype);
  expect(name, "bias", a.bias, {table.node_count}, dtype);
  expect(name, "logits", a.logits, {networks, rows, a.logits.extent(2)}, dtype);
  if (a.row_index)
    expect(name, "row_index", a.row_index, {networks, rows}, DType::int32);
  else
    check(rows == a.x.extent(0), name, "expected logits of ", a.x.extent(0), " rows, got ", rows);
  if (a.activation) expect(name, "activation", a.activation, {table.hidden_count, rows}, dtype);
  if (a.slope) expect(name, "slope", a.slope, {table.hidden_count, rows}, dtype);
}

}  // namespace

void subject_forward(const SubjectForward& args, Stream stream) {
  validate("subject_forward", args);
  dispatch_float("subject_forward", args.x.dtype, [&](auto zero) { forward<decltype(zero)>(args, stream); });
}

void subject_backward(const SubjectForwardGradient& args, Stream stream) {
  constexpr const char* kName = "subject_backward";
  const SubjectForward& a = args.forward;
  validate(kName, a);
  const Shape hidden{a.table.hidden_count, a.logits.extent(1)};
  expect(kName, "activation", a.activation, hidden, a.x.dtype);
  expect(kName, "slope", a.slope, hidden, a.x.dtype);
  expect(kName, "grad_logits", args.grad_logits, a.logits.shape, a.x.dtype);
  if (args.grad_weight) expect(kName, "grad_weight", args.grad_weight, a.weight.shape, a.x.dtype);
  if (args.grad_bias) expect(kName, "grad_bias", args.grad_bias, a.bias.shape, a.x.dtype);
  dispatch_float(kName, a.x.dtype, [&](auto zero) { backward<decltype(zero)>(args, stream); });
}

}  // namespace amend::kernels::AMEND_CUDA_TWIN
