// base = w + sum of closed inputs' weights times their regression on the open ones, a network a task.
// Operations a network: n^3 / 3 for n open inputs and 2 n^2 a closed input to solve, 2 rows a pair to apply.
#include "kernels/feature_fold.hpp"

#include "kernels/cpu/cholesky.hpp"
#include "kernels/cpu/gemm.hpp"
#include "kernels/cpu/tile.hpp"

namespace amend::kernels::cpu {

namespace {

/// Inputs that a network reads, by whether their feature is open. `list` has room for all inputs.
template <class T>
std::int64_t select_inputs(const FeatureFold& a, std::int64_t n, bool open, std::int32_t* list) {
  const std::int64_t features = a.feature_offset.extent(0) - 1;
  const Block& block = a.table.block[a.table.network[n].first_block];
  const std::int32_t* offset = a.feature_offset.as<std::int32_t>();
  const T *gate = a.feature_gate.as<T>() + n * features, *weight = a.weight.as<T>() + block.edge_offset;
  std::int64_t count = 0;
  for (std::int64_t f = 0; f < features; ++f) {
    if ((gate[f] > T(0.5)) != open) continue;
    for (std::int32_t j = offset[f]; j < offset[f + 1]; ++j) {
      bool read = false;
      for (std::int64_t i = 0; i < block.rows && !read; ++i) read = weight[i * block.cols + j] != T(0);
      if (read) list[count++] = j;
    }
  }
  return count;
}

template <class T>
void fold_network(const FeatureFold& a, std::int64_t n) {
  const Network& network = a.table.network[n];
  const Block& block = a.table.block[network.first_block];
  const std::int64_t inputs = block.cols, features = a.feature_offset.extent(0) - 1;
  const T* weight = a.weight.as<T>() + network.edge_offset;
  T* base = a.base.as<T>() + network.edge_offset;
  T* beta = a.beta.as<T>() + n * inputs * inputs;
  std::copy_n(weight, network.edge_count, base);
  std::fill_n(beta, inputs * inputs, T(0));
  auto* kept = scratch<std::int32_t>(20, inputs);
  auto* closed = scratch<std::int32_t>(21, inputs);
  const std::int64_t k = select_inputs<T>(a, n, true, kept), r = select_inputs<T>(a, n, false, closed);
  if (k == 0 || r == 0) return;
  const double* covariance = a.covariance.as<double>();
  double* matrix = scratch<double>(22, k * k);
  double* right = scratch<double>(23, r * k);
  double trace = 0.0;
  for (std::int64_t p = 0; p < k; ++p) {
    trace += covariance[kept[p] * inputs + kept[p]];
    for (std::int64_t q = 0; q < k; ++q) matrix[p * k + q] = covariance[kept[p] * inputs + kept[q]];
  }
  for (std::int64_t p = 0; p < k; ++p) matrix[p * k + p] += kFoldRidge * trace / static_cast<double>(k) + 1e-9;
  for (std::int64_t p = 0; p < r; ++p)
    for (std::int64_t q = 0; q < k; ++q) right[p * k + q] = covariance[closed[p] * inputs + kept[q]];
  solve_positive_definite(k, r, matrix, right);
  const T* gate = a.feature_gate.as<T>() + n * features;
  const std::int32_t* offset = a.feature_offset.as<std::int32_t>();
  std::int64_t feature = 0;
  for (std::int64_t p = 0; p < r; ++p) {
    const std::int32_t input = closed[p];
    while (offset[feature + 1] <= input) ++feature;
    const T absent = T(1) - gate[feature];
    T* row = beta + input * inputs;
    for (std::int64_t q = 0; q < k; ++q) row[kept[q]] = static_cast<T>(right[p * k + q]);
    for (std::int64_t i = 0; i < block.rows; ++i) {
      const T share = absent * weight[i * inputs + input];
      T* out = base + i * inputs;
      for (std::int64_t q = 0; q < k; ++q)
        if (weight[i * inputs + kept[q]] != T(0)) out[kept[q]] += share * row[kept[q]];
    }
  }
}

template <class T>
void fold_network_gradient(const FeatureFoldGradient& g, std::int64_t n) {
  const FeatureFold& a = g.forward;
  const Network& network = a.table.network[n];
  const Block& block = a.table.block[network.first_block];
  const std::int64_t inputs = block.cols, features = a.feature_offset.extent(0) - 1;
  const T *weight = a.weight.as<T>() + network.edge_offset, *grad_base = g.grad_base.as<T>() + network.edge_offset;
  const T *beta = a.beta.as<T>() + n * inputs * inputs, *gate = a.feature_gate.as<T>() + n * features;
  const std::int32_t* offset = a.feature_offset.as<std::int32_t>();
  T* grad = g.grad_feature_gate.as<T>() + n * features;
  for (std::int64_t f = 0; f < features; ++f) {
    if (gate[f] > T(0.5)) continue;
    for (std::int32_t r = offset[f]; r < offset[f + 1]; ++r)
      for (std::int64_t i = 0; i < block.rows; ++i) {
        T sum = 0;
        for (std::int64_t k = 0; k < inputs; ++k)
          sum += weight[i * inputs + k] != T(0) ? grad_base[i * inputs + k] * beta[r * inputs + k] : T(0);
        grad[f] -= weight[i * inputs + r] * sum;
      }
  }
}

void validate(const FeatureFold& a) {
  const std::int64_t networks = a.table.network_count, features = a.feature_offset.extent(0) - 1;
  const std::int64_t inputs = networks ? a.table.network[0].inputs : a.covariance.extent(0);
  const DType dtype = a.weight.dtype;
  expect("feature_fold", "weight", a.weight, {a.table.edge_count}, dtype);
  expect("feature_fold", "feature_gate", a.feature_gate, {networks, features}, dtype);
  expect("feature_fold", "feature_offset", a.feature_offset, {features + 1}, DType::int32);
  expect("feature_fold", "covariance", a.covariance, {inputs, inputs}, DType::float64);
  expect("feature_fold", "beta", a.beta, {networks, inputs, inputs}, dtype);
  expect("feature_fold", "base", a.base, {a.table.edge_count}, dtype);
}

}  // namespace

void feature_fold_forward(const FeatureFold& args, Stream) {
  validate(args);
  dispatch_float("feature_fold", args.weight.dtype, [&](auto zero) {
    parallel_for(args.table.network_count, [&](std::int64_t n) { fold_network<decltype(zero)>(args, n); });
  });
}

void feature_fold_backward(const FeatureFoldGradient& args, Stream) {
  validate(args.forward);
  expect("feature_fold", "grad_base", args.grad_base, args.forward.base.shape, args.forward.weight.dtype);
  expect("feature_fold", "grad_feature_gate", args.grad_feature_gate, args.forward.feature_gate.shape,
         args.forward.weight.dtype);
  dispatch_float("feature_fold", args.forward.weight.dtype, [&](auto zero) {
    parallel_for(args.forward.table.network_count,
                 [&](std::int64_t n) { fold_network_gradient<decltype(zero)>(args, n); });
  });
}

void feature_deviation(const FeatureDeviation& args, Stream) {
  const std::int64_t inputs = args.x.extent(1), count = args.deviation.extent(1);
  const DType dtype = args.x.dtype;
  check(count >= 1 && count <= args.x.extent(0), "feature_deviation", "expected 1 to ", args.x.extent(0), " rows, got ",
        count);
  if (args.unique) expect("feature_deviation", "unique", args.unique, {inputs, inputs}, dtype);
  expect("feature_deviation", "deviation", args.deviation, {inputs, count}, dtype);
  dispatch_float("feature_deviation", dtype, [&](auto zero) {
    using T = decltype(zero);
    T* out = args.deviation.as<T>();
    const T* x = args.x.as<T>();
    if (args.unique)
      gemm(Trans::no, Trans::yes, inputs, count, inputs, T(1), args.unique.as<T>(), inputs, x, inputs, T(0), out,
           count);
    else
      for (std::int64_t j = 0; j < inputs; ++j)
        for (std::int64_t row = 0; row < count; ++row) out[j * count + row] = x[row * inputs + j];
    for (std::int64_t j = 0; j < inputs; ++j) {
      double mean = 0.0;
      for (std::int64_t row = 0; row < count; ++row) mean += static_cast<double>(out[j * count + row]);
      mean /= static_cast<double>(count);
      for (std::int64_t row = 0; row < count; ++row) out[j * count + row] -= static_cast<T>(mean);
    }
  });
}

}  // namespace amend::kernels::cpu
