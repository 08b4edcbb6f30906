// A kernel without a CUDA twin has a stub that throws: cmake/UnavailableKernels.cmake.

#include <catch2/catch.hpp>

#include "kernels/fill.hpp"

namespace amend {
namespace {

#ifndef AMEND_CUDA
TEST_CASE("a CUDA stream in a build without CUDA says what is missing") {
  CHECK_THROWS_WITH(kernels::fill({}, Stream(Device::cuda(), nullptr)),
                    "[fill] this build of amend has no CUDA twin of this kernel");
}
#endif

}  // namespace
}  // namespace amend
