// p = softmax(logits_p), q = softmax(logits_q), s = p + q, t = (p - q) / s per class; JSD = sum_c s_c h(t_c) / 4, mean
// over rows: kernels/softmax_math.hpp. A thread a row, a block a network. Bytes: 8 rows classes forward, 16 backward.
// Operations: about 60 rows classes, most of them in exp and log.
#include "kernels/divergence.hpp"

#include "kernels/cuda/row_mean.cuh"
#include "kernels/softmax_math.hpp"

namespace amend::kernels::AMEND_CUDA_TWIN {

namespace {

constexpr const char* kDivergence = "divergence";

template <class T>
void forward(const Divergence& a, Stream stream) {
  const std::int64_t rows = a.logits_p.extent(1), classes = a.logits_p.extent(2);
  const T *logits_p = a.logits_p.as<T>(), *logits_q = a.logits_q.as<T>();
  mean_over_rows(a.logits_p.extent(0), a.row_count, a.divergence.as<T>(), stream,
                 [=] __device__(std::int64_t b, std::int64_t row) {
                   const std::int64_t at = (b * rows + row) * classes;
                   return divergence_of_row(logits_p + at, logits_q + at, classes);
                 });
}

template <class T>
__device__ void add_row_gradient(const T* zp, const T* zq, std::int64_t classes, T scale, T* grad) {
  if (classes == 2) {
    const TwoClasses<T> p(zp[1] - zp[0]), q(zq[1] - zq[0]);
    const T d =
        scale * q.first * q.second * (divergence_slope(p.second, q.second) - divergence_slope(p.first, q.first));
    grad[0] -= d;
    grad[1] += d;
    return;
  }
  // Twice over the classes: the probabilities are formed again rather than stored.
  const SoftmaxRow<T> p(zp, classes), q(zq, classes);
  T mean = T(0);
  for (std::int64_t c = 0; c < classes; ++c) {
    const T q_c = q.probability(zq[c]);
    mean += q_c * divergence_slope(p.probability(zp[c]), q_c);
  }
  for (std::int64_t c = 0; c < classes; ++c) {
    const T q_c = q.probability(zq[c]);
    grad[c] += scale * q_c * (divergence_slope(p.probability(zp[c]), q_c) - mean);
  }
}

template <class T>
void backward(const DivergenceGradient& g, Stream stream) {
  const Divergence& a = g.forward;
  const std::int64_t rows = a.logits_p.extent(1), classes = a.logits_p.extent(2), row_count = a.row_count;
  const T *logits_p = a.logits_p.as<T>(), *logits_q = a.logits_q.as<T>(), *grad_divergence = g.grad_divergence.as<T>();
  T* grad_logits_q = g.grad_logits_q.as<T>();
  for_elements(a.logits_p.extent(0) * row_count, stream, [=] __device__(std::int64_t i) {
    const std::int64_t b = i / row_count, at = (b * rows + i - b * row_count) * classes;
    add_row_gradient(logits_p + at, logits_q + at, classes, grad_divergence[b] / static_cast<T>(row_count),
                     grad_logits_q + at);
  });
}

void validate(const Divergence& a) {
  check(a.logits_p.shape.rank() == 3, kDivergence, "expected `logits_p` of rank 3, got shape ", a.logits_p.shape);
  const DType dtype = a.logits_p.dtype;
  expect(kDivergence, "logits_q", a.logits_q, a.logits_p.shape, dtype);
  expect(kDivergence, "divergence", a.divergence, {a.logits_p.extent(0)}, dtype);
  check(a.row_count >= 1 && a.row_count <= a.logits_p.extent(1), kDivergence, "row_count ", a.row_count,
        " is not in 1 .. ", a.logits_p.extent(1));
}

}  // namespace

void divergence_forward(const Divergence& args, Stream stream) {
  validate(args);
  dispatch_float(kDivergence, args.logits_p.dtype, [&](auto zero) { forward<decltype(zero)>(args, stream); });
}

void divergence_backward(const DivergenceGradient& args, Stream stream) {
  validate(args.forward);
  const DType dtype = args.forward.logits_p.dtype;
  expect(kDivergence, "grad_divergence", args.grad_divergence, args.forward.divergence.shape, dtype);
  expect(kDivergence, "grad_logits_q", args.grad_logits_q, args.forward.logits_q.shape, dtype);
  dispatch_float(kDivergence, dtype, [&](auto zero) { backward<decltype(zero)>(args, stream); });
}

}  // namespace amend::kernels::AMEND_CUDA_TWIN
