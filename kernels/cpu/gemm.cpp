#include "kernels/cpu/gemm.hpp"

#include <cblas.h>

#include "kernels/cpu/tile.hpp"
#include "kernels/cpu/vector/functions.hpp"

namespace amend::kernels::cpu {

namespace {

// OpenBLAS's own threads would make results depend on their number, and lose time on products this small.
const bool kSingleThreaded = [] {
  openblas_set_num_threads(1);
  return true;
}();

/// Elements of the right factor from which OpenBLAS is faster: up to there it stays in the first two caches as it is,
/// and packing both factors, as OpenBLAS does whatever their size, costs more than it gains (docs/benchmarks.md).
constexpr std::int64_t kLarge = 1 << 15;

CBLAS_TRANSPOSE cblas(Trans trans) { return trans == Trans::yes ? CblasTrans : CblasNoTrans; }

void large(Trans trans_a, Trans trans_b, int m, int n, int k, float alpha, const float* a, int lda, const float* b,
           int ldb, float beta, float* c, int ldc) {
  (void)kSingleThreaded;
  cblas_sgemm(CblasRowMajor, cblas(trans_a), cblas(trans_b), m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}
void large(Trans trans_a, Trans trans_b, int m, int n, int k, double alpha, const double* a, int lda, const double* b,
           int ldb, double beta, double* c, int ldc) {
  cblas_dgemm(CblasRowMajor, cblas(trans_a), cblas(trans_b), m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

template <class T>
void multiply(Trans trans_a, Trans trans_b, std::int64_t m, std::int64_t n, std::int64_t k, T alpha, const T* a,
              std::int64_t lda, const T* b, std::int64_t ldb, T beta, const T* bias, T* c, std::int64_t ldc) {
  if (m == 0 || n == 0) return;
  const Functions<T>& functions = vector_functions().of<T>();
  // The number of rows has no say: a row has the same bits in any batch.
  const std::int64_t padded = functions.packed_width(n);
  if (padded * k >= kLarge) {
    if (bias)
      for (std::int64_t i = 0; i < m; ++i) std::copy_n(bias, n, c + i * ldc);
    return large(trans_a, trans_b, static_cast<int>(m), static_cast<int>(n), static_cast<int>(k), alpha, a,
                 static_cast<int>(lda), b, static_cast<int>(ldb), bias ? T(1) : beta, c, static_cast<int>(ldc));
  }
  const bool a_transposed = trans_a == Trans::yes, b_transposed = trans_b == Trans::yes;
  functions.product({.m = m,
                     .n = n,
                     .k = k,
                     .alpha = alpha,
                     .a = a,
                     .a_row = a_transposed ? 1 : lda,
                     .a_term = a_transposed ? lda : 1,
                     .b = b,
                     .b_row = b_transposed ? 1 : ldb,
                     .b_column = b_transposed ? ldb : 1,
                     .beta = beta,
                     .bias = bias,
                     .c = c,
                     .c_row = ldc,
                     .packed = scratch<T>(kGemmSlot, k * padded)});
}

}  // namespace

void gemm(Trans trans_a, Trans trans_b, std::int64_t m, std::int64_t n, std::int64_t k, float alpha, const float* a,
          std::int64_t lda, const float* b, std::int64_t ldb, float beta, float* c, std::int64_t ldc) {
  multiply(trans_a, trans_b, m, n, k, alpha, a, lda, b, ldb, beta, static_cast<const float*>(nullptr), c, ldc);
}

void gemm(Trans trans_a, Trans trans_b, std::int64_t m, std::int64_t n, std::int64_t k, double alpha, const double* a,
          std::int64_t lda, const double* b, std::int64_t ldb, double beta, double* c, std::int64_t ldc) {
  multiply(trans_a, trans_b, m, n, k, alpha, a, lda, b, ldb, beta, static_cast<const double*>(nullptr), c, ldc);
}

void library_gemm(Trans trans_a, Trans trans_b, std::int64_t m, std::int64_t n, std::int64_t k, float alpha,
                  const float* a, std::int64_t lda, const float* b, std::int64_t ldb, float beta, float* c,
                  std::int64_t ldc) {
  large(trans_a, trans_b, static_cast<int>(m), static_cast<int>(n), static_cast<int>(k), alpha, a,
        static_cast<int>(lda), b, static_cast<int>(ldb), beta, c, static_cast<int>(ldc));
}

void affine(std::int64_t rows, std::int64_t out, std::int64_t in, const float* x, const float* weight,
            const float* bias, float* y) {
  multiply(Trans::no, Trans::yes, rows, out, in, 1.0f, x, in, weight, in, 0.0f, bias, y, out);
}

void affine(std::int64_t rows, std::int64_t out, std::int64_t in, const double* x, const double* weight,
            const double* bias, double* y) {
  multiply(Trans::no, Trans::yes, rows, out, in, 1.0, x, in, weight, in, 0.0, bias, y, out);
}

}  // namespace amend::kernels::cpu
