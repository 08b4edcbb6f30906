// logit += scale out_0 + gain prior; residual += scale out_1 + sum_k out_{2+k} step_k.
// Bytes an element: 4 (7 + 2 steps) forward. Operations: 5 + 2 steps.
#include "kernels/edit_step.hpp"

#include "kernels/cuda/device_sum.cuh"

namespace amend::kernels::AMEND_CUDA_TWIN {

namespace {

template <class T>
void forward(const EditStep& a, Stream stream) {
  const std::int64_t n = a.out.extent(0), outputs = a.out.extent(1), steps = outputs - 2;
  const T *out = a.out.as<T>(), *logit_in = elements<T>(a.logit_in), *residual_in = elements<T>(a.residual_in),
          *prior = elements<T>(a.prior), *step = elements<T>(a.step), *gain = elements<T>(a.prior_gain);
  const T logit_scale = static_cast<T>(a.logit_scale), residual_scale = static_cast<T>(a.residual_scale);
  T *logit = a.logit.as<T>(), *residual = a.residual.as<T>();
  for_elements(n, stream, [=] __device__(std::int64_t i) {
    const T* o = out + i * outputs;
    logit[i] = (logit_in ? logit_in[i] : T(0)) + logit_scale * o[0] + (prior ? *gain * prior[i] : T(0));
    T r = (residual_in ? residual_in[i] : T(0)) + residual_scale * o[1];
    for (std::int64_t k = 0; k < steps; ++k) r += o[2 + k] * step[i * steps + k];
    residual[i] = r;
  });
}

/// A term of the gain's gradient.
template <class T>
struct GainTerm {
  const T *grad_logit, *prior;
  __host__ __device__ double operator()(std::int64_t i) const { return static_cast<double>(grad_logit[i] * prior[i]); }
};

template <class T>
void backward(const EditStepGradient& g, Stream stream) {
  const EditStep& a = g.forward;
  const std::int64_t n = a.out.extent(0), outputs = a.out.extent(1), steps = outputs - 2;
  const T *grad_logit = elements<T>(g.grad_logit), *grad_residual = elements<T>(g.grad_residual),
          *prior = elements<T>(a.prior), *step = elements<T>(a.step);
  const T logit_scale = static_cast<T>(a.logit_scale), residual_scale = static_cast<T>(a.residual_scale);
  T *grad_out = elements<T>(g.grad_out), *grad_logit_in = elements<T>(g.grad_logit_in),
    *grad_residual_in = elements<T>(g.grad_residual_in);
  for_elements(n, stream, [=] __device__(std::int64_t i) {
    const T gl = grad_logit ? grad_logit[i] : T(0), gr = grad_residual ? grad_residual[i] : T(0);
    if (grad_out) {
      T* go = grad_out + i * outputs;
      go[0] += logit_scale * gl;
      go[1] += residual_scale * gr;
      for (std::int64_t k = 0; k < steps; ++k) go[2 + k] += gr * step[i * steps + k];
    }
    if (grad_logit_in) grad_logit_in[i] += gl;
    if (grad_residual_in) grad_residual_in[i] += gr;
  });
  if (!prior || !g.grad_prior_gain || !grad_logit || n == 0) return;
  device_sum(n, GainTerm<T>{grad_logit, prior}, true, g.grad_prior_gain.as<T>(), stream);
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

void edit_step_forward(const EditStep& args, Stream stream) {
  validate(args);
  dispatch_float("edit_step", args.out.dtype, [&](auto zero) { forward<decltype(zero)>(args, stream); });
}

void edit_step_backward(const EditStepGradient& args, Stream stream) {
  validate(args.forward);
  const EditStep& a = args.forward;
  for (const auto& [name, view] :
       {std::pair{"grad_logit", args.grad_logit}, std::pair{"grad_residual", args.grad_residual},
        std::pair{"grad_logit_in", args.grad_logit_in}, std::pair{"grad_residual_in", args.grad_residual_in}})
    if (view) expect("edit_step", name, view, a.logit.shape, a.out.dtype);
  if (args.grad_out) expect("edit_step", "grad_out", args.grad_out, a.out.shape, a.out.dtype);
  if (args.grad_prior_gain) expect("edit_step", "grad_prior_gain", args.grad_prior_gain, {1}, a.out.dtype);
  dispatch_float("edit_step", args.forward.out.dtype, [&](auto zero) { backward<decltype(zero)>(args, stream); });
}

}  // namespace amend::kernels::AMEND_CUDA_TWIN
