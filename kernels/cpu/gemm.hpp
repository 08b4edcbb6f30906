#pragma once

#include <cstdint>

namespace amend::kernels::cpu {

enum class Trans : std::uint8_t { no, yes };

/// Row-major C = alpha * op(A) op(B) + beta * C with op(A) (m, k), op(B) (k, n). One thread: callers run many at once.
void gemm(Trans trans_a, Trans trans_b, std::int64_t m, std::int64_t n, std::int64_t k, float alpha, const float* a,
          std::int64_t lda, const float* b, std::int64_t ldb, float beta, float* c, std::int64_t ldc);
void gemm(Trans trans_a, Trans trans_b, std::int64_t m, std::int64_t n, std::int64_t k, double alpha, const double* a,
          std::int64_t lda, const double* b, std::int64_t ldb, double beta, double* c, std::int64_t ldc);

/// What gemm does with large products, for any: OpenBLAS. To measure one against the other.
void library_gemm(Trans trans_a, Trans trans_b, std::int64_t m, std::int64_t n, std::int64_t k, float alpha,
                  const float* a, std::int64_t lda, const float* b, std::int64_t ldb, float beta, float* c,
                  std::int64_t ldc);

/// y (rows, out) = x (rows, in) weight^T (in, out) + bias, all contiguous; bias null: 0.
void affine(std::int64_t rows, std::int64_t out, std::int64_t in, const float* x, const float* weight,
            const float* bias, float* y);
void affine(std::int64_t rows, std::int64_t out, std::int64_t in, const double* x, const double* weight,
            const double* bias, double* y);

}  // namespace amend::kernels::cpu
