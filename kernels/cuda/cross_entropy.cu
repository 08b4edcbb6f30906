// loss[b] = mean_r w[y_r] (log sum_c exp(z_rc - m_r) + m_r - z_r,y), m_r the row's largest logit.
// d loss / d z_rc = w[y_r] (softmax(z_r)_c - [c = y_r]) / rows. A thread a row, a block a network.
// Bytes: (4 classes + 4) rows forward, (12 classes + 4) rows backward per network. Operations: about 20 rows classes.
// A label outside 0 .. classes - 1, which only the device can see, gives NaN.
#include "kernels/cross_entropy.hpp"

#include "kernels/cuda/row_mean.cuh"
#include "kernels/softmax_math.hpp"

namespace amend::kernels::AMEND_CUDA_TWIN {

namespace {

constexpr const char* kCrossEntropy = "cross_entropy";

template <class T>
struct LabelledRows {
  const T* logits;
  const std::int32_t* label;
  const T* weight;  // null: 1
  std::int64_t rows, classes;

  explicit LabelledRows(const CrossEntropy& a)
      : logits(a.logits.as<T>()),
        label(a.label.as<std::int32_t>()),
        weight(elements<T>(a.class_weight)),
        rows(a.logits.extent(1)),
        classes(a.logits.extent(2)) {}

  /// Weight of the row's label; NaN when there is no such class.
  __device__ T weight_of(std::int64_t network, std::int32_t y) const {
    if (y < 0 || y >= classes) return not_a_number<T>();
    return weight ? weight[network * classes + y] : T(1);
  }
  __device__ std::int32_t label_within(std::int32_t y) const { return y < 0 || y >= classes ? 0 : y; }
  /// Two classes: logit of the other class minus logit of the label.
  __device__ T deficit(const T* z, std::int32_t y) const { return y == 1 ? z[0] - z[1] : z[1] - z[0]; }
};

template <class T>
void forward(const CrossEntropy& a, Stream stream) {
  const LabelledRows<T> in(a);
  mean_over_rows(a.logits.extent(0), in.rows, a.loss.as<T>(), stream, [=] __device__(std::int64_t b, std::int64_t row) {
    const std::int64_t i = b * in.rows + row;
    const T* z = in.logits + i * in.classes;
    const T weight = in.weight_of(b, in.label[i]);
    const std::int32_t y = in.label_within(in.label[i]);
    if (in.classes != 2) return weight * SoftmaxRow<T>(z, in.classes).surprise(z[y]);
    const T u = in.deficit(z, y), e = exponential(u < T(0) ? u : -u);
    return weight * ((u < T(0) ? T(0) : u) + logarithm(T(1) + e));  // NaN stays NaN
  });
}

template <class T>
void backward(const CrossEntropyGradient& g, Stream stream) {
  const LabelledRows<T> in(g.forward);
  const T* grad_loss = g.grad_loss.as<T>();
  T* grad_logits = g.grad_logits.as<T>();
  for_elements(g.forward.label.count(), stream, [=] __device__(std::int64_t i) {
    const std::int64_t b = i / in.rows;
    const T* z = in.logits + i * in.classes;
    T* grad = grad_logits + i * in.classes;
    const T scale = grad_loss[b] / static_cast<T>(in.rows) * in.weight_of(b, in.label[i]);
    const std::int32_t y = in.label_within(in.label[i]);
    if (in.classes == 2) {
      const T d = scale * sigmoid(in.deficit(z, y)), up = y == 1 ? d : -d;  // 1 - p of the label
      grad[0] += up;
      grad[1] -= up;
      return;
    }
    const SoftmaxRow<T> softmax(z, in.classes);
    for (std::int64_t c = 0; c < in.classes; ++c)
      grad[c] += scale * (softmax.probability(z[c]) - (c == y ? T(1) : T(0)));
  });
}

void validate(const CrossEntropy& a) {
  check(a.logits.shape.rank() == 3, kCrossEntropy, "expected `logits` of rank 3, got shape ", a.logits.shape);
  const std::int64_t networks = a.logits.extent(0), rows = a.logits.extent(1), classes = a.logits.extent(2);
  check(rows > 0, kCrossEntropy, "a mean over no rows is undefined");
  expect(kCrossEntropy, "label", a.label, {networks, rows}, DType::int32);
  if (a.class_weight) expect(kCrossEntropy, "class_weight", a.class_weight, {networks, classes}, a.logits.dtype);
  expect(kCrossEntropy, "loss", a.loss, {networks}, a.logits.dtype);
}

}  // namespace

void cross_entropy_forward(const CrossEntropy& args, Stream stream) {
  validate(args);
  dispatch_float(kCrossEntropy, args.logits.dtype, [&](auto zero) { forward<decltype(zero)>(args, stream); });
}

void cross_entropy_backward(const CrossEntropyGradient& args, Stream stream) {
  validate(args.forward);
  expect(kCrossEntropy, "grad_loss", args.grad_loss, args.forward.loss.shape, args.forward.logits.dtype);
  expect(kCrossEntropy, "grad_logits", args.grad_logits, args.forward.logits.shape, args.forward.logits.dtype);
  dispatch_float(kCrossEntropy, args.forward.logits.dtype, [&](auto zero) { backward<decltype(zero)>(args, stream); });
}

}  // namespace amend::kernels::AMEND_CUDA_TWIN
