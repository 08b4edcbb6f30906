#include "kernels/cpu/cholesky.hpp"

#include "engine/error.hpp"

// LAPACK, which OpenBLAS brings along; its C headers are a package of their own.
extern "C" {
void dpotrf_(const char* triangle, const int* n, double* a, const int* lda, int* info);
void dpotrs_(const char* triangle, const int* n, const int* count, const double* a, const int* lda, double* b,
             const int* ldb, int* info);
}

namespace amend::kernels::cpu {

void solve_positive_definite(std::int64_t n, std::int64_t count, double* matrix, double* right) {
  if (n == 0 || count == 0) return;
  const int size = static_cast<int>(n), sides = static_cast<int>(count);
  int info = 0;
  dpotrf_("L", &size, matrix, &size, &info);
  check(info == 0, "cholesky", "the matrix of ", n, " rows is not positive definite");
  dpotrs_("L", &size, &sides, matrix, &size, right, &size, &info);
  check(info == 0, "cholesky", "LAPACK refused argument ", -info);
}

}  // namespace amend::kernels::cpu
