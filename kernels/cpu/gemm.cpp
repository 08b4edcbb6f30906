#include "kernels/cpu/gemm.hpp"

#include <cblas.h>

namespace amend::kernels::cpu {

namespace {

// OpenBLAS's own threads would make results depend on their number, and lose time on products this small.
const bool kSingleThreaded = [] {
  openblas_set_num_threads(1);
  return true;
}();

CBLAS_TRANSPOSE cblas(Trans trans) { return trans == Trans::yes ? CblasTrans : CblasNoTrans; }

template <class T>
bool scale_only(std::int64_t m, std::int64_t n, std::int64_t k, T beta, T* c, std::int64_t ldc) {
  if (m == 0 || n == 0) return true;
  if (k != 0) return false;
  for (std::int64_t i = 0; i < m; ++i)
    for (std::int64_t j = 0; j < n; ++j) c[i * ldc + j] = beta == T(0) ? T(0) : beta * c[i * ldc + j];
  return true;
}

}  // namespace

void gemm(Trans trans_a, Trans trans_b, std::int64_t m, std::int64_t n, std::int64_t k, float alpha, const float* a,
          std::int64_t lda, const float* b, std::int64_t ldb, float beta, float* c, std::int64_t ldc) {
  (void)kSingleThreaded;
  if (scale_only(m, n, k, beta, c, ldc)) return;
  cblas_sgemm(CblasRowMajor, cblas(trans_a), cblas(trans_b), static_cast<int>(m), static_cast<int>(n),
              static_cast<int>(k), alpha, a, static_cast<int>(lda), b, static_cast<int>(ldb), beta, c,
              static_cast<int>(ldc));
}

void gemm(Trans trans_a, Trans trans_b, std::int64_t m, std::int64_t n, std::int64_t k, double alpha, const double* a,
          std::int64_t lda, const double* b, std::int64_t ldb, double beta, double* c, std::int64_t ldc) {
  if (scale_only(m, n, k, beta, c, ldc)) return;
  cblas_dgemm(CblasRowMajor, cblas(trans_a), cblas(trans_b), static_cast<int>(m), static_cast<int>(n),
              static_cast<int>(k), alpha, a, static_cast<int>(lda), b, static_cast<int>(ldb), beta, c,
              static_cast<int>(ldc));
}

}  // namespace amend::kernels::cpu
