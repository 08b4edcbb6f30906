// Logits moved to a budget, a network a task. Bytes an element: 12, and 8 for the copy that the cut is found in.
// Operations: a selection, linear in the number of logits.
#include "kernels/gate_budget.hpp"

#include <algorithm>
#include <functional>
#include <limits>
#include <vector>

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
    std::vector<T> descending;
    descending.reserve(static_cast<std::size_t>(end - begin));
    for (std::int64_t i = begin; i < end; ++i)
      if (!counted || counted[i] != T(0)) descending.push_back(logit[i]);
    const auto at = [&](std::int64_t rank) {  // after the call all that come before are at least as large
      std::nth_element(descending.begin(), descending.begin() + rank, descending.end(), std::greater<>());
      return descending[static_cast<std::size_t>(rank)];
    };
    const auto count = static_cast<std::int64_t>(descending.size());
    T last = std::numeric_limits<T>::infinity(), first = -std::numeric_limits<T>::infinity();
    if (budget < count) first = at(budget);
    if (budget > 0 && count > 0)
      last = budget < count ? *std::min_element(descending.begin(), descending.begin() + budget)
                            : *std::min_element(descending.begin(), descending.end());
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
