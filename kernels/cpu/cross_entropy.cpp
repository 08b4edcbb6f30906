// loss[b] = mean_r w[y_r] (log sum_c exp(z_rc - m_r) + m_r - z_r,y), m_r the row's largest logit.
// d loss / d z_rc = w[y_r] (softmax(z_r)_c - [c = y_r]) / rows.
// Bytes: (4 classes + 4) rows forward, (12 classes + 4) rows backward per network. Operations: about 20 rows classes.
#include "kernels/cross_entropy.hpp"

#include "kernels/cpu/logit_tile.hpp"

namespace amend::kernels::cpu {

namespace {

constexpr const char* kName = "cross_entropy";

void validate(const CrossEntropy& a) {
  check(a.logits.shape.rank() == 3, kName, "expected `logits` of rank 3, got shape ", a.logits.shape);
  const std::int64_t networks = a.logits.extent(0), rows = a.logits.extent(1), classes = a.logits.extent(2);
  check(rows > 0, kName, "a mean over no rows is undefined");
  expect(kName, "label", a.label, {networks, rows}, DType::int32);
  if (a.class_weight) expect(kName, "class_weight", a.class_weight, {networks, classes}, a.logits.dtype);
  expect(kName, "loss", a.loss, {networks}, a.logits.dtype);
  const std::int32_t* label = a.label.as<std::int32_t>();
  for (std::int64_t i = 0; i < networks * rows; ++i)
    check(label[i] >= 0 && label[i] < classes, kName, "row ", i % rows, " of network ", i / rows, " has label ",
          label[i], ", expected 0 .. ", classes - 1);
}

/// What a row tile reads.
template <class T>
struct RowTileInput {
  const T* logits;
  const std::int32_t* label;
  const T* weight;  // null: 1

  RowTileInput(const CrossEntropy& a, std::int64_t network, std::int64_t first)
      : logits(a.logits.as<T>() + (network * a.logits.extent(1) + first) * a.logits.extent(2)),
        label(a.label.as<std::int32_t>() + network * a.logits.extent(1) + first),
        weight(a.class_weight ? a.class_weight.as<T>() + network * a.logits.extent(2) : nullptr) {}

  T weight_of(std::int64_t row) const { return weight ? weight[label[row]] : T(1); }
  /// Two classes: logit of the other class minus logit of the label.
  T deficit(std::int64_t row) const {
    const T margin = logits[2 * row + 1] - logits[2 * row];
    return label[row] == 1 ? -margin : margin;
  }
};

template <class T>
void forward(const CrossEntropy& a) {
  const std::int64_t networks = a.logits.extent(0), rows = a.logits.extent(1), classes = a.logits.extent(2);
  mean_over_rows(networks, rows, a.loss.as<T>(), [&](std::int64_t b, std::int64_t first, std::int64_t count) {
    const RowTileInput<T> in(a, b, first);
    T* term = scratch<T>(1, kLogitRows);
    if (classes == 2) {
      for (std::int64_t r = 0; r < count; ++r) {
        const T u = in.deficit(r), e = exponential(u < T(0) ? u : -u);
        term[r] = (u < T(0) ? T(0) : u) + logarithm(T(1) + e);  // NaN stays NaN
      }
    } else {
      T* probability = scratch<T>(2, classes);
      for (std::int64_t r = 0; r < count; ++r)
        term[r] = softmax(in.logits + r * classes, classes, probability, in.label[r]);
    }
    if (in.weight)
      for (std::int64_t r = 0; r < count; ++r) term[r] *= in.weight_of(r);
    return sum_of(term, count);
  });
}

template <class T>
void backward(const CrossEntropyGradient& g) {
  const CrossEntropy& a = g.forward;
  const std::int64_t networks = a.logits.extent(0), rows = a.logits.extent(1), classes = a.logits.extent(2);
  const T* grad_loss = g.grad_loss.as<T>();
  T* grad_logits = g.grad_logits.as<T>();
  for_logit_tiles(networks, rows, [&](std::int64_t b, std::int64_t, std::int64_t first, std::int64_t count) {
    const RowTileInput<T> in(a, b, first);
    T* grad = grad_logits + (b * rows + first) * classes;
    const T scale = grad_loss[b] / static_cast<T>(rows);
    if (classes == 2) {
      T* d = scratch<T>(1, kLogitRows);
      for (std::int64_t r = 0; r < count; ++r) d[r] = scale * sigmoid(in.deficit(r));  // 1 - p of the label
      for (std::int64_t r = 0; r < count; ++r) {
        const T up = in.weight_of(r) * (in.label[r] == 1 ? d[r] : -d[r]);
        grad[2 * r] += up;
        grad[2 * r + 1] -= up;
      }
      return;
    }
    T* probability = scratch<T>(2, classes);
    for (std::int64_t r = 0; r < count; ++r) {
      softmax(in.logits + r * classes, classes, probability);
      probability[in.label[r]] -= T(1);
      const T row_scale = scale * in.weight_of(r);
      for (std::int64_t c = 0; c < classes; ++c) grad[r * classes + c] += row_scale * probability[c];
    }
  });
}

}  // namespace

void cross_entropy_forward(const CrossEntropy& args, Stream) {
  validate(args);
  dispatch_float(kName, args.logits.dtype, [&](auto zero) { forward<decltype(zero)>(args); });
}

void cross_entropy_backward(const CrossEntropyGradient& args, Stream) {
  validate(args.forward);
  expect(kName, "grad_loss", args.grad_loss, args.forward.loss.shape, args.forward.logits.dtype);
  expect(kName, "grad_logits", args.grad_logits, args.forward.logits.shape, args.forward.logits.dtype);
  dispatch_float(kName, args.forward.logits.dtype, [&](auto zero) { backward<decltype(zero)>(args); });
}

}  // namespace amend::kernels::cpu
