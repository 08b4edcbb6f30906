#pragma once

#include <cstdint>

#include "engine/stream.hpp"
#include "kernels/precision.hpp"

namespace amend::bench {

/// cuBLAS, found while the program runs: it is for measuring only, and the program that edits networks is not to ask
/// for it.
class MatrixLibrary {
 public:
  /// Looks for the version of this build's CUDA where the loader and the toolkit have it.
  explicit MatrixLibrary(Stream stream);
  ~MatrixLibrary();
  MatrixLibrary(const MatrixLibrary&) = delete;
  MatrixLibrary& operator=(const MatrixLibrary&) = delete;

  explicit operator bool() const { return handle_ != nullptr; }

  /// c = a b of square matrices: of float in float32 and tf32, of bf16 with sums in float32 otherwise. Queued.
  void multiply(kernels::Precision precision, std::int64_t size, const void* a, const void* b, void* c);

 private:
  void* library_ = nullptr;
  void* handle_ = nullptr;
};

}  // namespace amend::bench
