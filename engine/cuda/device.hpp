#pragma once

#include <string>

namespace amend::cuda {

/// Empty when device `index` can be used; otherwise one sentence that says why not.
std::string unavailable_reason(int index);

}  // namespace amend::cuda
