// base = w + sum of closed inputs' weights times their regression on the open ones, a thread block a network. The
// covariance of the open inputs, with the right-hand sides as further rows, is factorised in float64 in shared memory,
// or in the workspace when the device has too little for a block (154 inputs fit into 99 KB, 200 into 163 KB): the
// same sums either way. A matrix that is not positive definite gives NaN. Operations a network: n^3 / 3 for n open
// inputs, 2 n^2 a closed input to solve, 2 rows a pair to apply. Bytes: weights twice, and beta, 4 inputs^2, which is
// most of it; the covariance is read from the cache. feature_deviation: one product (inputs, inputs) by (inputs, rows),
// then a thread block an input to centre its row.
#include "kernels/feature_fold.hpp"

#include <cmath>

#include "kernels/cuda/device_limits.cuh"
#include "kernels/cuda/feature_columns.cuh"
#include "kernels/cuda/gemm.cuh"

namespace amend::kernels::AMEND_CUDA_TWIN {

namespace {

constexpr std::int64_t kStaticShared = 1 << 10;  // bytes at most of what the kernel declares itself
constexpr std::int64_t kMemoryBlocks = 256;      // thread blocks when the matrices are in the workspace
constexpr int kFoldWarps = kThreads / kWarp;

template <class T>
struct Fold {
  const Block* block;
  const Network* network;
  std::int32_t networks, inputs, features;
  const T *weight, *feature_gate;
  const std::int32_t* feature_offset;
  const double* covariance;
  T *beta, *base;

  explicit Fold(const FeatureFold& a)
      : block(a.table.block),
        network(a.table.network),
        networks(a.table.network_count),
        inputs(static_cast<std::int32_t>(a.covariance.extent(0))),
        features(static_cast<std::int32_t>(a.feature_offset.extent(0)) - 1),
        weight(a.weight.as<T>()),
        feature_gate(a.feature_gate.as<T>()),
        feature_offset(a.feature_offset.as<std::int32_t>()),
        covariance(a.covariance.as<double>()),
        beta(a.beta.as<T>()),
        base(a.base.as<T>()) {}

  /// Doubles that a network needs: the lower triangle of k rows and the right-hand sides, at most inputs - k rows of k.
  std::int64_t matrix_room() const { return std::int64_t{inputs} * (inputs + 1) / 2; }
  /// Bytes of shared memory besides: a column of doubles and three lists.
  std::int64_t list_bytes() const {
    return inputs * static_cast<std::int64_t>(sizeof(double) + 3 * sizeof(std::int32_t));
  }
};

/// How many inputs a network reads, by whether their feature is open.
struct FoldCounts {
  std::int32_t open, closed;
};

/// Row `i` of a lower triangle that continues with rows of `k` elements.
__device__ __forceinline__ std::int64_t fold_row(std::int32_t i, std::int32_t k) {
  return i < k ? std::int64_t{i} * (i + 1) / 2 : std::int64_t{k} * (k + 1) / 2 + std::int64_t{i - k} * k;
}

/// feature_of[j] becomes the feature of input j, or -1; then list[0 .. open) the open inputs with a weight, and behind
/// them, from list[inputs] on, the closed ones.
template <class T>
__device__ FoldCounts select_inputs(const Fold<T>& in, std::int64_t n, const Block& block, std::int32_t* feature_of,
                                    std::int32_t* list) {
  FoldCounts& counts = shared_memory<FoldCounts>();
  for (std::int32_t j = threadIdx.x; j < in.inputs; j += kThreads) feature_of[j] = -1;
  __syncthreads();
  for (std::int32_t f = threadIdx.x; f < in.features; f += kThreads) {
    const FeatureColumns columns(in.feature_offset, f, in.inputs);
    for (std::int32_t j = columns.begin; j < columns.end; ++j) feature_of[j] = f;
  }
  __syncthreads();
  const T* weight = in.weight + block.edge_offset;
  for (std::int32_t j = threadIdx.x; j < in.inputs; j += kThreads) {
    bool read = false;
    for (std::int32_t i = 0; i < block.rows && !read; ++i) read = weight[std::int64_t{i} * in.inputs + j] != T(0);
    if (!read) feature_of[j] = -1;
  }
  __syncthreads();
  if (threadIdx.x < 2) {  // a thread each: a hundred or so inputs
    const bool open = threadIdx.x == 0;
    std::int32_t count = 0;
    for (std::int32_t j = 0; j < in.inputs; ++j)
      if (feature_of[j] >= 0 && (in.feature_gate[n * in.features + feature_of[j]] > T(0.5)) == open)
        list[(open ? 0 : in.inputs) + count++] = j;
    (open ? counts.open : counts.closed) = count;
  }
  __syncthreads();
  const FoldCounts result = counts;
  __syncthreads();
  return result;
}

/// Cholesky's method on rows 0 .. k - 1, which turns the rows behind them into Y = R L^-T, and X = Y L^-1 from it.
/// `column` has room for all rows.
__device__ inline void solve(double* matrix, std::int32_t k, std::int32_t r, double* column) {
  const auto warp = static_cast<std::int32_t>(threadIdx.x / kWarp),
             lane = static_cast<std::int32_t>(threadIdx.x % kWarp);
  for (std::int32_t p = 0; p < k; ++p) {
    const double pivot = std::sqrt(matrix[fold_row(p, k) + p]);
    for (std::int32_t i = p + 1 + static_cast<std::int32_t>(threadIdx.x); i < k + r; i += kThreads) {
      double& element = matrix[fold_row(i, k) + p];
      element /= pivot;
      column[i] = element;
    }
    __syncthreads();
    if (threadIdx.x == 0) matrix[fold_row(p, k) + p] = pivot;
    for (std::int32_t i = p + 1 + warp; i < k + r; i += kFoldWarps) {
      double* row = matrix + fold_row(i, k);
      const double factor = column[i];
      const std::int32_t last = i < k ? i : k - 1;
      for (std::int32_t j = p + 1 + lane; j <= last; j += kWarp) row[j] -= factor * column[j];
    }
    __syncthreads();
  }
  // A warp a right-hand side at a time: each needs nothing of the others.
  for (std::int32_t i = k + warp; i < k + r; i += kFoldWarps) {
    double* row = matrix + fold_row(i, k);
    for (std::int32_t p = k - 1; p >= 0; --p) {
      const double* of = matrix + fold_row(p, k);
      const double x = row[p] / of[p];
      for (std::int32_t j = lane; j < p; j += kWarp) row[j] -= x * of[j];
      __syncwarp();
      if (lane == 0) row[p] = x;
      __syncwarp();
    }
  }
  __syncthreads();
}

/// What a network's thread block does.
template <class T>
__device__ void fold_network(const Fold<T>& in, std::int64_t n, double* matrix, double* column, std::int32_t* list) {
  const Network network = in.network[n];
  const Block block = in.block[network.first_block];
  const std::int32_t inputs = in.inputs;
  const T* weight = in.weight + network.edge_offset;
  T *base = in.base + network.edge_offset, *beta = in.beta + n * inputs * inputs;
  std::int32_t *feature_of = list + 2 * inputs, *closed = list + inputs;
  const FoldCounts counts = select_inputs(in, n, block, feature_of, list);
  const std::int32_t k = counts.open, r = counts.closed;
  for (std::int32_t i = threadIdx.x; i < inputs * inputs; i += kThreads) beta[i] = T(0);
  const bool folds = k > 0 && r > 0;
  const std::int32_t plain = folds ? block.rows * inputs : 0;  // the first block comes last
  for (std::int32_t e = plain + threadIdx.x; e < network.edge_count; e += kThreads) base[e] = weight[e];
  if (!folds) {
    __syncthreads();
    return;
  }
  double trace = 0;
  for (std::int32_t p = threadIdx.x; p < k; p += kThreads)
    trace += in.covariance[std::int64_t{list[p]} * inputs + list[p]];
  const double ridge = kFoldRidge * block_sum(trace) / static_cast<double>(k) + 1e-9;
  const auto warp = static_cast<std::int32_t>(threadIdx.x / kWarp),
             lane = static_cast<std::int32_t>(threadIdx.x % kWarp);
  for (std::int32_t i = warp; i < k + r; i += kFoldWarps) {
    double* row = matrix + fold_row(i, k);
    const double* from = in.covariance + std::int64_t{i < k ? list[i] : closed[i - k]} * inputs;
    const std::int32_t last = i < k ? i : k - 1;
    for (std::int32_t q = lane; q <= last; q += kWarp) row[q] = from[list[q]] + (q == i ? ridge : 0.0);
  }
  __syncthreads();
  solve(matrix, k, r, column);
  for (std::int32_t i = warp; i < r; i += kFoldWarps)
    for (std::int32_t q = lane; q < k; q += kWarp)
      beta[closed[i] * inputs + list[q]] = static_cast<T>(matrix[fold_row(k + i, k) + q]);
  // Position of an input among the open ones, or -1, takes the column's place.
  auto* position = reinterpret_cast<std::int32_t*>(column);
  for (std::int32_t j = threadIdx.x; j < inputs; j += kThreads) position[j] = -1;
  __syncthreads();
  for (std::int32_t q = threadIdx.x; q < k; q += kThreads) position[list[q]] = q;
  __syncthreads();
  const T* gate = in.feature_gate + n * in.features;
  for (std::int32_t e = threadIdx.x; e < block.rows * inputs; e += kThreads) {
    const std::int32_t i = e / inputs, q = position[e - i * inputs];
    T sum = weight[e];
    if (q >= 0 && sum != T(0))
      for (std::int32_t c = 0; c < r; ++c) {
        const T share = (T(1) - gate[feature_of[closed[c]]]) * weight[i * inputs + closed[c]];
        sum += share * static_cast<T>(matrix[fold_row(k + c, k) + q]);
      }
    base[e] = sum;
  }
  __syncthreads();
}

/// `memory`: matrices in the workspace, one a thread block; null: in shared memory.
template <class T>
__global__ void __launch_bounds__(kThreads, 4) fold_kernel(Fold<T> in, double* memory, std::int64_t room) {
  double* shared = dynamic_shared_memory<double>();
  double* matrix = memory ? memory + blockIdx.x * room : shared + in.inputs;
  auto* list = reinterpret_cast<std::int32_t*>(shared + in.inputs + (memory ? 0 : room));
  for (std::int64_t n = blockIdx.x; n < in.networks; n += gridDim.x) fold_network(in, n, matrix, shared, list);
}

template <class T>
void forward(const FeatureFold& a, Stream stream) {
  const Fold<T> in(a);
  const std::int64_t room = in.matrix_room(), all = in.list_bytes() + room * static_cast<std::int64_t>(sizeof(double));
  if (in.networks == 0) return;
  const std::int64_t available = device_limits(stream).shared_bytes - kStaticShared;
  if (all <= available) {
    launch(fold_kernel<T>, grid_of(in.networks), dim3(kThreads), static_cast<std::size_t>(all), stream, in, nullptr,
           room);
    return;
  }
  check(in.list_bytes() <= available, "feature_fold", in.inputs, " inputs are too many");
  const std::int64_t blocks = in.networks < kMemoryBlocks ? in.networks : kMemoryBlocks;
  launch(fold_kernel<T>, grid_of(blocks), dim3(kThreads), static_cast<std::size_t>(in.list_bytes()), stream, in,
         workspace<double>(stream, blocks * room), room);
}

/// A network a thread block, a warp a pair of closed input and target row at a time.
template <class T>
__global__ void __launch_bounds__(kThreads) gradient_kernel(Fold<T> in, const T* grad_base_of_all, T* grad_of_all) {
  const std::int64_t n = blockIdx.x;
  const Network network = in.network[n];
  const Block block = in.block[network.first_block];
  const std::int32_t inputs = in.inputs, lane = threadIdx.x % kWarp;
  const T *weight = in.weight + network.edge_offset, *grad_base = grad_base_of_all + network.edge_offset,
          *beta = in.beta + n * inputs * inputs;
  for (std::int32_t f = 0; f < in.features; ++f) {
    if (in.feature_gate[n * in.features + f] > T(0.5)) continue;
    const FeatureColumns columns(in.feature_offset, f, inputs);
    const std::int32_t first = columns.begin, count = columns.end - first;
    T sum = T(0);
    for (std::int32_t pair = threadIdx.x / kWarp; pair < count * block.rows; pair += kFoldWarps) {
      const std::int32_t i = pair / count, r = first + pair - i * count;
      T product = T(0);
      for (std::int32_t j = lane; j < inputs; j += kWarp)
        product += weight[i * inputs + j] != T(0) ? grad_base[i * inputs + j] * beta[r * inputs + j] : T(0);
      sum += weight[i * inputs + r] * product;
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0) grad_of_all[n * in.features + f] -= sum;
  }
}

template <class T>
void backward(const FeatureFoldGradient& g, Stream stream) {
  const Fold<T> in(g.forward);
  launch(gradient_kernel<T>, grid_of(in.networks), dim3(kThreads), 0, stream, in, g.grad_base.as<T>(),
         g.grad_feature_gate.as<T>());
}

/// Takes the mean off every row.
template <class T>
__global__ void __launch_bounds__(kThreads) centre_kernel(T* rows, std::int64_t count) {
  T* row = rows + blockIdx.x * count;
  double sum = 0;
  for (std::int64_t i = threadIdx.x; i < count; i += kThreads) sum += static_cast<double>(row[i]);
  const T mean = static_cast<T>(block_sum(sum) / static_cast<double>(count));
  for (std::int64_t i = threadIdx.x; i < count; i += kThreads) row[i] -= mean;
}

template <class T>
void deviation(const FeatureDeviation& a, Stream stream) {
  const std::int64_t inputs = a.x.extent(1), count = a.deviation.extent(1);
  const T* x = a.x.as<T>();
  T* out = a.deviation.as<T>();
  if (a.unique)
    multiply_rows<T>(a.unique.as<T>(), x, nullptr, out, inputs, inputs, count, stream);
  else
    for_elements(inputs * count, stream, [=] __device__(std::int64_t i) {
      const std::int64_t j = i / count;
      out[i] = x[(i - j * count) * inputs + j];
    });
  launch(centre_kernel<T>, grid_of(inputs), dim3(kThreads), 0, stream, out, count);
}

void validate(const FeatureFold& a) {
  // The covariance says how many inputs the networks have: the table cannot be read here.
  const std::int64_t networks = a.table.network_count, features = a.feature_offset.extent(0) - 1,
                     inputs = a.covariance.extent(0);
  const DType dtype = a.weight.dtype;
  expect("feature_fold", "weight", a.weight, {a.table.edge_count}, dtype);
  expect("feature_fold", "feature_gate", a.feature_gate, {networks, features}, dtype);
  expect("feature_fold", "feature_offset", a.feature_offset, {features + 1}, DType::int32);
  expect("feature_fold", "covariance", a.covariance, {inputs, inputs}, DType::float64);
  expect("feature_fold", "beta", a.beta, {networks, inputs, inputs}, dtype);
  expect("feature_fold", "base", a.base, {a.table.edge_count}, dtype);
}

}  // namespace

void feature_fold_forward(const FeatureFold& args, Stream stream) {
  validate(args);
  dispatch_float("feature_fold", args.weight.dtype, [&](auto zero) { forward<decltype(zero)>(args, stream); });
}

void feature_fold_backward(const FeatureFoldGradient& args, Stream stream) {
  const FeatureFold& a = args.forward;
  validate(a);
  expect("feature_fold", "grad_base", args.grad_base, a.base.shape, a.weight.dtype);
  expect("feature_fold", "grad_feature_gate", args.grad_feature_gate, a.feature_gate.shape, a.weight.dtype);
  dispatch_float("feature_fold", a.weight.dtype, [&](auto zero) { backward<decltype(zero)>(args, stream); });
}

void feature_deviation(const FeatureDeviation& args, Stream stream) {
  const std::int64_t inputs = args.x.extent(1), count = args.deviation.extent(1);
  const DType dtype = args.x.dtype;
  check(count >= 1 && count <= args.x.extent(0), "feature_deviation", "expected 1 to ", args.x.extent(0), " rows, got ",
        count);
  if (args.unique) expect("feature_deviation", "unique", args.unique, {inputs, inputs}, dtype);
  expect("feature_deviation", "deviation", args.deviation, {inputs, count}, dtype);
  dispatch_float("feature_deviation", dtype, [&](auto zero) { deviation<decltype(zero)>(args, stream); });
}

}  // namespace amend::kernels::AMEND_CUDA_TWIN
