// logit += scale out_0 + gain prior; residual += scale out_1 + sum_k out_{2+k} step_k.
// Bytes an element: 4 (7 + 2 steps) forward. Operations: 5 + 2 steps.
#include "kernels/edit_step.hpp"

#include "kernels/cpu/tile.hpp"

namespace amend::kernels::cpu {

namespace {

constexpr std::int64_t kChunk = 1 << 13, kTile = 1 << 10;

/// The sums of elements begin .. end - 1, at most kTile. kSteps is their number where the compiler is to know it, so
/// that the loops are of vectors, else -1.
template <int kSteps, class T>
void forward_tile(const EditStep& a, std::int64_t begin, std::int64_t end) {
  const std::int64_t steps = kSteps >= 0 ? kSteps : a.out.extent(1) - 2, outputs = steps + 2, count = end - begin;
  const T *out = a.out.as<T>() + begin * outputs, *step = steps > 0 ? a.step.as<T>() + begin * steps : nullptr;
  const T logit_scale = static_cast<T>(a.logit_scale), residual_scale = static_cast<T>(a.residual_scale);
  T logit[kTile], residual[kTile];
  for (std::int64_t i = 0; i < count; ++i) {
    logit[i] = logit_scale * out[i * outputs];
    T sum = residual_scale * out[i * outputs + 1];
    for (std::int64_t k = 0; k < steps; ++k) sum += out[i * outputs + 2 + k] * step[i * steps + k];
    residual[i] = sum;
  }
  const auto add = [&](const TensorView& view, T factor, T* sum) {
    if (!view) return;
    const T* x = view.as<T>() + begin;
    for (std::int64_t i = 0; i < count; ++i) sum[i] += factor * x[i];
  };
  add(a.logit_in, T(1), logit);
  add(a.residual_in, T(1), residual);
  if (a.prior) add(a.prior, *a.prior_gain.as<T>(), logit);
  std::copy_n(logit, count, a.logit.as<T>() + begin);
  std::copy_n(residual, count, a.residual.as<T>() + begin);
}

template <class T>
void forward(const EditStep& a) {
  const std::int64_t n = a.out.extent(0);
  const auto tile = [&](std::int64_t begin, std::int64_t end) {
    switch (a.out.extent(1)) {
      case 2: return forward_tile<0, T>(a, begin, end);
      case 3: return forward_tile<1, T>(a, begin, end);
      case 4: return forward_tile<2, T>(a, begin, end);
      default: return forward_tile<-1, T>(a, begin, end);
    }
  };
  parallel_for((n + kChunk - 1) / kChunk, [&](std::int64_t chunk) {
    const std::int64_t end = std::min(n, (chunk + 1) * kChunk);
    for (std::int64_t begin = chunk * kChunk; begin < end; begin += kTile) tile(begin, std::min(end, begin + kTile));
  });
}

template <class T>
void backward(const EditStepGradient& g) {
  const EditStep& a = g.forward;
  const std::int64_t n = a.out.extent(0), outputs = a.out.extent(1), steps = outputs - 2;
  const T *grad_logit = elements<T>(g.grad_logit), *grad_residual = elements<T>(g.grad_residual);
  const T *prior = elements<T>(a.prior), *step = elements<T>(a.step);
  const T logit_scale = static_cast<T>(a.logit_scale), residual_scale = static_cast<T>(a.residual_scale);
  T* grad_out = g.grad_out ? g.grad_out.as<T>() : nullptr;
  T* grad_logit_in = g.grad_logit_in ? g.grad_logit_in.as<T>() : nullptr;
  T* grad_residual_in = g.grad_residual_in ? g.grad_residual_in.as<T>() : nullptr;
  const std::int64_t chunks = (n + kChunk - 1) / kChunk;
  double* gains = scratch<double>(0, chunks);
  parallel_for(chunks, [&](std::int64_t chunk) {
    double gain = 0;
    for (std::int64_t i = chunk * kChunk; i < std::min(n, (chunk + 1) * kChunk); ++i) {
      const T gl = grad_logit ? grad_logit[i] : T(0), gr = grad_residual ? grad_residual[i] : T(0);
      if (grad_out) {
        T* go = grad_out + i * outputs;
        go[0] += logit_scale * gl;
        go[1] += residual_scale * gr;
        for (std::int64_t k = 0; k < steps; ++k) go[2 + k] += gr * step[i * steps + k];
      }
      if (grad_logit_in) grad_logit_in[i] += gl;
      if (grad_residual_in) grad_residual_in[i] += gr;
      if (prior) gain += static_cast<double>(gl * prior[i]);
    }
    gains[chunk] = gain;
  });
  if (prior && g.grad_prior_gain) {
    double sum = 0;
    for (std::int64_t chunk = 0; chunk < chunks; ++chunk) sum += gains[chunk];
    *g.grad_prior_gain.as<T>() += static_cast<T>(sum);
  }
}

void validate(const EditStep& a) {
  const std::int64_t n = a.out.extent(0), steps = a.out.extent(1) - 2;
  const DType dtype = a.out.dtype;
  check(steps >= 0, "edit_step", "expected at least 2 columns in `out`, got ", a.out.extent(1));
  for (const auto& [name, view] :
       {std::pair{"logit_in", a.logit_in}, std::pair{"residual_in", a.residual_in}, std::pair{"prior", a.prior}})
    if (view) expect("edit_step", name, view, {n}, dtype);
  if (a.prior) expect("edit_step", "prior_gain", a.prior_gain, {1}, dtype);
  if (steps > 0) expect("edit_step", "step", a.step, {n, steps}, dtype);
  expect("edit_step", "logit", a.logit, {n}, dtype);
  expect("edit_step", "residual", a.residual, {n}, dtype);
}

}  // namespace

void edit_step_forward(const EditStep& args, Stream) {
  validate(args);
  dispatch_float("edit_step", args.out.dtype, [&](auto zero) { forward<decltype(zero)>(args); });
}

void edit_step_backward(const EditStepGradient& args, Stream) {
  validate(args.forward);
  const EditStep& a = args.forward;
  for (const auto& [name, view] :
       {std::pair{"grad_logit", args.grad_logit}, std::pair{"grad_residual", args.grad_residual},
        std::pair{"grad_logit_in", args.grad_logit_in}, std::pair{"grad_residual_in", args.grad_residual_in}})
    if (view) expect("edit_step", name, view, a.logit.shape, a.out.dtype);
  if (args.grad_out) expect("edit_step", "grad_out", args.grad_out, a.out.shape, a.out.dtype);
  if (args.grad_prior_gain) expect("edit_step", "grad_prior_gain", args.grad_prior_gain, {1}, a.out.dtype);
  dispatch_float("edit_step", args.forward.out.dtype, [&](auto zero) { backward<decltype(zero)>(args); });
}

}  // namespace amend::kernels::cpu
