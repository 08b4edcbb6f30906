#include "kernels/cpu/vector/functions.hpp"

#include <cstdlib>
#include <string>
#include <vector>

#include "engine/error.hpp"

namespace amend::kernels::cpu {

// list.inc is a line AMEND_VECTOR(namespace, whether the processor has it) for every instruction set of the build, the
// best first: cmake/VectorTargets.cmake writes it.
#define AMEND_VECTOR(name, supported)            \
  namespace name {                               \
  extern const VectorFunctions vector_functions; \
  }
#include <list.inc>
#undef AMEND_VECTOR

namespace {

std::vector<const VectorFunctions*> find_supported() {
  std::vector<const VectorFunctions*> found;
#define AMEND_VECTOR(name, supported) \
  if (supported) found.push_back(&name::vector_functions);
#include <list.inc>
#undef AMEND_VECTOR
  check(!found.empty(), "cpu", "this processor has none of the instruction sets that amend was built for");
  return found;
}

const VectorFunctions* choose() {
  const char* wanted = std::getenv("AMEND_VECTOR_TARGET");
  if (wanted == nullptr || *wanted == '\0') return supported_vector_functions().front();
  std::string known;
  for (const VectorFunctions* functions : supported_vector_functions()) {
    if (std::string(functions->target) == wanted) return functions;
    known += std::string(known.empty() ? "" : ", ") + functions->target;
  }
  fail_input("AMEND_VECTOR_TARGET", "expected one of ", known, ", got `", wanted, "`");
}

const VectorFunctions*& chosen() {
  static const VectorFunctions* functions = choose();
  return functions;
}

}  // namespace

std::span<const VectorFunctions* const> supported_vector_functions() {
  static const std::vector<const VectorFunctions*> supported = find_supported();
  return supported;
}

const VectorFunctions& vector_functions() { return *chosen(); }

void use_vector_functions(const VectorFunctions& functions) { chosen() = &functions; }

}  // namespace amend::kernels::cpu
