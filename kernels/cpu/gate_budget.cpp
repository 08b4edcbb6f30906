// Logits moved to a budget, a network a task. The cut is found in a copy that lies where the result will. Bytes an
// element: 20. Operations: a selection, linear in the number of logits.
#include "kernels/gate_budget.hpp"

#include <algorithm>
#include <functional>
#include <limits>

#include "kernels/cpu/tile.hpp"
#include "kernels/gate_math.hpp"

namespace amend::kernels::cpu {

namespace {

template <class T>
void shift(const GateBudget& a) {
  const T* logit = a.logit.as<T>();
  const T* counted = elements<T>(a.counted);
  T* shifted = a.shifted.as<T>();
  parallel_for(a.segments.count, [&](std::int64_t s) {
    const std::int64_t begin = a.segments.offset[s], end = a.segments.offset[s + 1];
    const std::int64_t budget = a.budget.as<std::int32_t>()[s];
    if (budget < 0) {
      std::copy(logit + begin, logit + end, shifted + begin);
      return;
    }
    T* const copy = shifted + begin;
    T* copied = copy;
    for (std::int64_t i = begin; i < end; ++i)
      if (!counted || counted[i] != T(0)) *copied++ = logit[i];
    T last = std::numeric_limits<T>::infinity(), first = -std::numeric_limits<T>::infinity();
    T* const kept = copy + std::min<std::int64_t>(budget, copied - copy);
    if (kept < copied) {
      std::nth_element(copy, kept, copied, std::greater<>());  // all before are at least as large
      first = *kept;
    }
    if (kept > copy) last = *std::min_element(copy, kept);
    const T cut = budget_cut(last, first);
    for (std::int64_t i = begin; i < end; ++i) shifted[i] = counted && counted[i] == T(0) ? T(-1) : logit[i] - cut;
  });
}

}  // namespace

void gate_budget(const GateBudget& args, Stream) {
  const DType dtype = args.logit.dtype;
  check(args.segments.rows() == args.logit.count(), "gate_budget", "segments cover ", args.segments.rows(),
        " logits of ", args.logit.count());
  if (args.counted) expect("gate_budget", "counted", args.counted, args.logit.shape, dtype);
  expect("gate_budget", "budget", args.budget, {args.segments.count}, DType::int32);
  expect("gate_budget", "shifted", args.shifted, args.logit.shape, dtype);
  dispatch_float("gate_budget", dtype, [&](auto zero) { shift<decltype(zero)>(args); });
}

}  // namespace amend::kernels::cpu
