#pragma once

#include "kernels/edge_update.hpp"

namespace amend::kernels::cpu {

/// edge_update with precision tf32 or bf16; arguments that `validate` (kernels/edge_arguments.hpp) let pass.
void edge_update_rounded_forward(const EdgeUpdate& args);
void edge_update_rounded_backward(const EdgeUpdateGradient& args);

}  // namespace amend::kernels::cpu
