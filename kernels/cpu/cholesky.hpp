#pragma once

#include <cstdint>

namespace amend::kernels::cpu {

/// Solves A X = B for a symmetric positive definite A (n, n), row-major, by Cholesky's method (LAPACK). `right` holds
/// the right-hand sides as rows, (count, n), and receives the solutions; A is overwritten. Throws Error when A is not
/// positive definite.
void solve_positive_definite(std::int64_t n, std::int64_t count, double* matrix, double* right);

}  // namespace amend::kernels::cpu
