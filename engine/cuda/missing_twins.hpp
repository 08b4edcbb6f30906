#pragma once

namespace amend::cuda {

/// The stems that have no CUDA twin in this build, as a list; empty when every kernel runs on a device. Written by
/// cmake/UnavailableKernels.cmake.
const char* missing_twins();

}  // namespace amend::cuda
