#pragma once

#include <cstdint>
#include <string_view>

#include "kernels/cpu/vector/pack.hpp"

namespace amend::kernels::cpu {

enum class Trans : std::uint8_t { no, yes };

/// Row-major C = alpha * op(A) op(B) + beta * C with op(A) (m, k), op(B) (k, n). One thread: callers run many at once.
void gemm(Trans trans_a, Trans trans_b, std::int64_t m, std::int64_t n, std::int64_t k, float alpha, const float* a,
          std::int64_t lda, const float* b, std::int64_t ldb, float beta, float* c, std::int64_t ldc);
void gemm(Trans trans_a, Trans trans_b, std::int64_t m, std::int64_t n, std::int64_t k, double alpha, const double* a,
          std::int64_t lda, const double* b, std::int64_t ldb, double beta, double* c, std::int64_t ldc);

/// Whether OpenBLAS, which takes the processor for a `core`, is of use to one with vectors of so many floats. A release
/// that does not know a processor takes it for an older one (0.3.21): an Intel Xeon of model 207 for one without AVX,
/// at a fifth of its speed, an AMD EPYC of family 26 for one without AVX-512, at half.
bool library_suits(std::string_view core, std::int64_t lanes);

/// What gemm does with large products where the library suits, for any: OpenBLAS. To measure one against the other.
void library_gemm(Trans trans_a, Trans trans_b, std::int64_t m, std::int64_t n, std::int64_t k, float alpha,
                  const float* a, std::int64_t lda, const float* b, std::int64_t ldb, float beta, float* c,
                  std::int64_t ldc);

/// y (rows, out) = x (rows, in) weight^T (in, out) + bias, all contiguous; bias null: 0. For many x, by any thread. A
/// row has the same bits in any batch.
template <class T>
class AffineMap {
 public:
  AffineMap(std::int64_t out, std::int64_t in, const T* weight, const T* bias, int slot)
      : out_(out), in_(in), weight_(weight), bias_(bias), transposed_(weight, out, in, true, slot) {}
  void operator()(std::int64_t rows, const T* x, T* y) const;

 private:
  std::int64_t out_, in_;
  const T *weight_, *bias_;
  Packed<T> transposed_;
};

/// AffineMap, used once.
template <class T>
void affine(std::int64_t rows, std::int64_t out, std::int64_t in, const T* x, const T* weight, const T* bias, T* y);
/// The same; the terms of a sum are added in the order of gemm's, one after the other.
template <class T>
void affine_in_order(std::int64_t rows, std::int64_t out, std::int64_t in, const T* x, const T* weight, const T* bias,
                     T* y);

}  // namespace amend::kernels::cpu
