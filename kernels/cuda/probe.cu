// Statistics of neurons, Fisher information, gradients: the formulas are in kernels/cpu/probe.cpp. Launches: moments of
// the columns of x, of the margins, of the nodes (a second pass over the rows, now in the cache, centres them), then
// subject_sums.cuh: Fisher information and all gradients in one pass over row tiles on chip.
// Bytes per network: 4 rows (3 hidden + (2 + objectives) classes) read, activations twice, and 4 (2 + objectives) edges
// moved; x is shared and read from the second-level cache. Operations per network: 2 edges (rows objectives + n) for
// the products, 2 rows (edges without the first block) for the deltas of each objective and seed, 6 n nodes for the
// moments: at Adult's widths the products are the floor in plain float32.
//
// Moments: a block a network and 32 of its nodes, a lane a node, a warp every eighth row; 32 rows are added in the
// element's type, these sums in float64.
#include "kernels/probe.hpp"

#include "kernels/cuda/subject_sums.cuh"

namespace amend::kernels::AMEND_CUDA_TWIN {

namespace {

constexpr const char* kName = "probe";
constexpr int kWarps = kThreads / kWarp;
constexpr int kRun = kMomentRows / kWarps;  // rows that a lane adds in T

struct LaneSums {
  double first[kWarps][kWarp], second[kWarps][kWarp];
};

/// Sums over rows of what `term(row, first, second)` adds, a column a lane, in every thread of the block.
template <class T, class Term>
__device__ void sum_columns(std::int64_t rows, double& first, double& second, const Term& term) {
  LaneSums& shared = shared_memory<LaneSums>();
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  first = second = 0;
  for (std::int64_t r = warp; r < rows; r += kMomentRows) {
    T a = T(0), b = T(0);
#pragma unroll 4
    for (int k = 0; k < kRun; ++k)
      if (r + k * kWarps < rows) term(r + k * kWarps, a, b);
    first += static_cast<double>(a);
    second += static_cast<double>(b);
  }
  shared.first[warp][lane] = first;
  shared.second[warp][lane] = second;
  __syncthreads();
  first = second = 0;
  for (int w = 0; w < kWarps; ++w) {
    first += shared.first[w][lane];
    second += shared.second[w][lane];
  }
  __syncthreads();  // the next sums reuse the memory
}

/// Means over the statistic rows.
template <class T>
struct Moments {
  T mean, square, variance;
};

/// Of a column of `rows` elements, `stride` apart, a lane; all threads of the block call it.
template <class T>
__device__ Moments<T> column_moments(const T* column, std::int64_t stride, std::int64_t rows) {
  double first, second;
  sum_columns<T>(rows, first, second, [&](std::int64_t r, T& a, T& b) {
    const T value = column[r * stride];
    a += value;
    b += value * value;
  });
  const double count = static_cast<double>(rows);
  return {static_cast<T>(first / count), static_cast<T>(second / count), T(0)};
}

/// Of the columns of x; a block 32 of them.
template <class T>
__global__ void __launch_bounds__(kThreads)
    input_kernel(const T* x, int inputs, std::int64_t rows, Moments<T>* moments) {
  const int j = static_cast<int>(blockIdx.x * kWarp + threadIdx.x % kWarp), column = j < inputs ? j : inputs - 1;
  Moments<T> m = column_moments(x + column, inputs, rows);
  double variance, unused;
  sum_columns<T>(rows, variance, unused, [&](std::int64_t r, T& a, T&) {
    const T d = x[r * inputs + column] - m.mean;
    a += d * d;
  });
  m.variance = static_cast<T>(variance / static_cast<double>(rows));
  if (threadIdx.x < kWarp && j < inputs) moments[j] = m;
}

/// Of the margins, which are kept, centred; a block a network.
template <class T>
__global__ void __launch_bounds__(kThreads)
    margin_kernel(const T* logits, std::int64_t rows, int classes, std::int64_t count, T* margin, Moments<T>* moments) {
  logits += blockIdx.x * rows * classes;
  margin += blockIdx.x * count;
  double sum = 0, square = 0, variance = 0;
  for (std::int64_t r = threadIdx.x; r < count; r += kThreads) {
    const T value = margin_of(logits + r * classes, classes);
    margin[r] = value;
    sum += static_cast<double>(value);
    square += static_cast<double>(value * value);
  }
  const double n = static_cast<double>(count);
  const T mean = static_cast<T>(block_sum(sum) / n);
  for (std::int64_t r = threadIdx.x; r < count; r += kThreads) {
    const T d = margin[r] -= mean;
    variance += static_cast<double>(d * d);
  }
  square = block_sum(square);
  variance = block_sum(variance);
  if (threadIdx.x == 0) moments[blockIdx.x] = {mean, static_cast<T>(square / n), static_cast<T>(variance / n)};
}

template <class T>
struct NodeStatistics {
  SubjectPass<T> pass;
  std::int64_t count;               // rows
  const Moments<T>*input, *margin;  // (inputs), (networks)
  const T* centred_margin;          // (networks, count)
  T *mean, *rms, *correlation;      // (nodes), rms and correlation may be null
};

/// Blocks (network, 32 nodes).
template <class T>
__global__ void __launch_bounds__(kThreads) node_kernel(NodeStatistics<T> a) {
  const SubjectNetwork net(a.pass.table, static_cast<int>(blockIdx.x));
  const int begin = static_cast<int>(blockIdx.y) * kWarp, nodes = net.network.node_count, inputs = net.network.inputs;
  if (begin >= nodes) return;
  const int own = begin + static_cast<int>(threadIdx.x) % kWarp, i = own < nodes ? own : nodes - 1;
  const T* column = a.pass.x + i;
  std::int64_t stride = inputs;
  if (i >= inputs) {
    int l = 0, node = i - inputs;
    for (; node >= net.block[l].rows; ++l) node -= net.block[l].rows;
    stride = net.block[l].rows;
    column = node + (l + 1 < net.layers ? net.hidden(a.pass.activation, l, a.pass.rows)
                                        : a.pass.logits + net.index * a.pass.rows * a.pass.classes);
  }
  Moments<T> m = a.input[i < inputs ? i : 0];
  if (begin + kWarp > inputs) {
    const Moments<T> hidden = column_moments(column, stride, a.count);
    if (i >= inputs) m = hidden;
  }
  const bool writes = threadIdx.x < kWarp && own < nodes;
  const std::int64_t at = net.network.node_offset + i;
  if (writes) a.mean[at] = m.mean;
  if (writes && a.rms) a.rms[at] = std::sqrt(m.square);
  if (!a.correlation) return;
  const T* margin = a.centred_margin + net.index * a.count;
  double variance, covariance;
  sum_columns<T>(a.count, variance, covariance, [&](std::int64_t r, T& v, T& c) {
    const T d = column[r * stride] - m.mean;
    v += d * d;
    c += d * margin[r];
  });
  const double n = static_cast<double>(a.count);
  if (i >= inputs) m.variance = static_cast<T>(variance / n);
  const Moments<T> z = a.margin[net.index];
  if (writes)
    a.correlation[at] = correlation(static_cast<T>(covariance / n), m.variance, m.square, z.variance, z.square);
}

/// Device memory of the statistics, in elements.
template <class T>
struct StatisticsMemory {
  static constexpr std::int64_t kMoments = sizeof(Moments<T>) / sizeof(T);
  std::int64_t inputs, networks, count, nodes;

  explicit StatisticsMemory(const Probe& a)
      : inputs(a.x.extent(1)), networks(a.table.network_count), count(a.statistic_rows), nodes(a.table.node_count) {}
  std::int64_t elements() const { return kMoments * (inputs + networks) + networks * count + nodes; }
};

/// Launches the statistics; returns the means of all nodes.
template <class T>
const T* launch_statistics(const Probe& a, const SubjectPass<T>& pass, T* memory, Stream stream) {
  const StatisticsMemory<T> sizes(a);
  auto* input = reinterpret_cast<Moments<T>*>(memory);
  Moments<T>* margin_moments = input + sizes.inputs;
  T* margin = reinterpret_cast<T*>(margin_moments + sizes.networks);
  T* mean = margin + sizes.networks * sizes.count;
  launch(input_kernel<T>, grid_of(ceil_div(pass.inputs, kWarp)), dim3(kThreads), 0, stream, pass.x, pass.inputs,
         sizes.count, input);
  launch(margin_kernel<T>, grid_of(sizes.networks), dim3(kThreads), 0, stream, pass.logits, pass.rows, pass.classes,
         sizes.count, margin, margin_moments);
  const NodeStatistics<T> statistics{.pass = pass,
                                     .count = sizes.count,
                                     .input = input,
                                     .margin = margin_moments,
                                     .centred_margin = margin,
                                     .mean = a.node_mean ? a.node_mean.as<T>() : mean,
                                     .rms = elements<T>(a.node_rms),
                                     .correlation = elements<T>(a.node_correlation)};
  dim3 grid = grid_of(sizes.networks);
  grid.y = static_cast<unsigned>(ceil_div(a.table.max_nodes, kWarp));
  launch(node_kernel<T>, grid, dim3(kThreads), 0, stream, statistics);
  return statistics.mean;
}

template <class T>
void run(const Probe& a, Stream stream) {
  if (a.table.network_count == 0) return;
  SubjectSums<T> sums({.table = a.table,
                       .weight = a.weight,
                       .x = a.x,
                       .activation = a.activation,
                       .slope = a.slope,
                       .logits = a.logits});
  if (a.gradient || a.gradient_bias) {
    sums.objectives = static_cast<int>(a.grad_logits.extent(0));
    sums.grad_logits = a.grad_logits.as<T>();
    sums.gradient = elements<T>(a.gradient);
    sums.gradient_bias = elements<T>(a.gradient_bias);
  }
  sums.statistic_rows = a.statistic_rows;
  sums.fisher = elements<T>(a.fisher);
  sums.fisher_bias = elements<T>(a.fisher_bias);
  if (a.feature_saliency) {
    sums.saliency = a.feature_saliency.as<T>();
    sums.feature_offset = a.feature_offset.as<std::int32_t>();
    sums.features = static_cast<int>(a.feature_saliency.extent(1));
  }
  const bool statistics = sums.has_fisher() || sums.saliency || a.node_mean || a.node_rms || a.node_correlation;
  const std::int64_t elements = statistics ? StatisticsMemory<T>(a).elements() : 0;
  const SubjectSumsPass<T> sizes(sums, stream);
  if (elements + sizes.elements() == 0 && sums.sets() == 0) return;
  T* memory = elements + sizes.elements() > 0 ? workspace<T>(stream, elements + sizes.elements()) : nullptr;
  if (statistics) sums.mean = launch_statistics(a, static_cast<const SubjectPass<T>&>(sums), memory, stream);
  SubjectSumsPass<T>(sums, stream).run(memory + elements);
}

void validate(const Probe& a) {
  const BlockTable& table = a.table;
  const DType dtype = a.x.dtype;
  check(a.logits.shape.rank() == 3, kName, "expected `logits` of rank 3, got shape ", a.logits.shape);
  check(a.x.shape.rank() == 2, kName, "expected `x` of rank 2, got shape ", a.x.shape);
  const std::int64_t networks = table.network_count, rows = a.x.extent(0), classes = a.logits.extent(2);
  expect(kName, "logits", a.logits, {networks, rows, classes}, dtype);
  check(networks == 0 || classes >= 2, kName, "expected two classes or more, got ", classes);
  check(a.statistic_rows >= 1 && a.statistic_rows <= rows, kName, "statistic_rows ", a.statistic_rows,
        " is not in 1 .. ", rows);
  expect(kName, "weight", a.weight, {table.edge_count}, dtype);
  expect(kName, "activation", a.activation, {table.hidden_count, rows}, dtype);
  expect(kName, "slope", a.slope, {table.hidden_count, rows}, dtype);
  if (a.fisher) expect(kName, "fisher", a.fisher, {table.edge_count}, dtype);
  const Shape nodes{table.node_count};
  if (a.fisher_bias) expect(kName, "fisher_bias", a.fisher_bias, nodes, dtype);
  if (a.node_mean) expect(kName, "node_mean", a.node_mean, nodes, dtype);
  if (a.node_rms) expect(kName, "node_rms", a.node_rms, nodes, dtype);
  if (a.node_correlation) expect(kName, "node_correlation", a.node_correlation, nodes, dtype);
  if (a.grad_logits) {
    check(a.grad_logits.shape.rank() == 4, kName, "expected `grad_logits` of rank 4, got shape ", a.grad_logits.shape);
    const std::int64_t objectives = a.grad_logits.extent(0);
    expect(kName, "grad_logits", a.grad_logits, {objectives, networks, rows, classes}, dtype);
    if (a.gradient) expect(kName, "gradient", a.gradient, {objectives, table.edge_count}, dtype);
    if (a.gradient_bias) expect(kName, "gradient_bias", a.gradient_bias, {objectives, table.node_count}, dtype);
  } else {
    check(!a.gradient && !a.gradient_bias, kName, "gradients need `grad_logits`");
  }
  if (!a.feature_saliency) return;
  check(a.feature_offset.data != nullptr && a.feature_offset.count() >= 1, kName, "`feature_offset` is missing");
  expect(kName, "feature_saliency", a.feature_saliency, {networks, a.feature_offset.count() - 1}, dtype);
}

}  // namespace

void probe(const Probe& args, Stream stream) {
  validate(args);
  dispatch_float(kName, args.x.dtype, [&](auto zero) { run<decltype(zero)>(args, stream); });
}

}  // namespace amend::kernels::AMEND_CUDA_TWIN
