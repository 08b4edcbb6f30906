#include "kernels/edit_step.hpp"

#include "test/support/twins.hpp"

AMEND_TWINS(edit_step_forward, EditStep)
AMEND_TWINS(edit_step_backward, EditStepGradient)

namespace amend::test {
namespace {

TEST_CASE("cuda edit_step") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const bool all = GENERATE(false, true);  // with every optional argument, or none
  const std::int64_t steps = all ? 2 : 0;
  for (std::int64_t n : {0, 1, 9000}) {
    const auto random = [&](Shape shape, std::uint64_t seed) { return random_tensor(shape, dtype, seed); };
    const auto maybe = [&](Shape shape, std::uint64_t seed) { return all ? random(shape, seed) : Tensor(); };
    const Tensor out = random({n, 2 + steps}, 1), logit_in = maybe({n}, 2), residual_in = maybe({n}, 3),
                 prior = maybe({n}, 4), gain = maybe({1}, 5), step = maybe({n, steps}, 6), grad_logit = random({n}, 7),
                 grad_residual = maybe({n}, 8);
    compare_twins("edit_step",
                  [&](Twin twin) {
                    const Tensor logit = unset({n}, dtype), residual = unset({n}, dtype);
                    const kernels::EditStep forward{.out = out,
                                                    .logit_in = logit_in,
                                                    .residual_in = residual_in,
                                                    .prior = prior,
                                                    .prior_gain = gain,
                                                    .step = step,
                                                    .logit = logit,
                                                    .residual = residual};
                    twins::edit_step_forward(twin, forward);
                    const Tensor grad_out = random({n, 2 + steps}, 11), grad_logit_in = random({n}, 12),
                                 grad_residual_in = maybe({n}, 13), grad_gain = maybe({1}, 14);
                    twins::edit_step_backward(twin, {.forward = forward,
                                                     .grad_logit = grad_logit,
                                                     .grad_residual = grad_residual,
                                                     .grad_out = grad_out,
                                                     .grad_logit_in = grad_logit_in,
                                                     .grad_residual_in = grad_residual_in,
                                                     .grad_prior_gain = grad_gain});
                    // The gain's gradient is a sum of n terms of magnitude 1 with random signs.
                    return std::vector<Tensor>{logit, residual, grad_out, grad_logit_in, grad_residual_in, grad_gain};
                  },
                  {6.0, 6.0, 6.0, 6.0, 6.0, 100.0});
  }
}

}  // namespace
}  // namespace amend::test
