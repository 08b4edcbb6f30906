#include "kernels/cpu/gemm.hpp"

#include <cblas.h>

#include <algorithm>
#include <array>

#include "kernels/cpu/tile.hpp"

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

/// Whether a product with a right factor of k rows and n columns is the library's. The number of rows of the left one
/// has no say: a row has the same bits in any batch.
template <class T>
bool is_large(std::int64_t n, std::int64_t k) {
  const VectorFunctions& functions = vector_functions();
  return functions.of<T>().packed_width(n) * k >= kLarge &&
         library_suits(openblas_get_corename(), functions.of<float>().packed_width(1));
}

/// Whether a product has so few columns that most of a vector of them would be empty.
template <class T>
bool is_narrow(std::int64_t n, std::int64_t k) {
  return 8 * n <= vector_functions().of<T>().packed_width(1) && k >= 8;
}

template <class T>
void multiply(Trans trans_a, Trans trans_b, std::int64_t m, std::int64_t n, std::int64_t k, T alpha, const T* a,
              std::int64_t lda, const T* b, std::int64_t ldb, T beta, T* c, std::int64_t ldc) {
  if (m == 0 || n == 0) return;
  if (is_large<T>(n, k))
    return large(trans_a, trans_b, static_cast<int>(m), static_cast<int>(n), static_cast<int>(k), alpha, a,
                 static_cast<int>(lda), b, static_cast<int>(ldb), beta, c, static_cast<int>(ldc));
  const Functions<T>& functions = vector_functions().of<T>();
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
                     .bias = nullptr,
                     .c = c,
                     .c_row = ldc,
                     .room = scratch<T>(kGemmSlot, k * functions.packed_width(n))});
}

/// y (rows, out) = x weight^T + bias.
template <class T>
void ordered(std::int64_t rows, std::int64_t out, std::int64_t in, const T* x, const T* weight,
             const Packed<T>& transposed, const T* bias, T* y) {
  if (rows == 0 || out == 0) return;
  if (is_large<T>(out, in)) {
    if (bias)
      for (std::int64_t i = 0; i < rows; ++i) std::copy_n(bias, out, y + i * out);
    return large(Trans::no, Trans::yes, static_cast<int>(rows), static_cast<int>(out), static_cast<int>(in), T(1), x,
                 static_cast<int>(in), weight, static_cast<int>(in), bias ? T(1) : T(0), y, static_cast<int>(out));
  }
  vector_functions().of<T>().product({.m = rows,
                                      .n = out,
                                      .k = in,
                                      .alpha = T(1),
                                      .a = x,
                                      .a_row = in,
                                      .a_term = 1,
                                      .b_packed = transposed.get(),
                                      .beta = T(0),
                                      .bias = bias,
                                      .c = y,
                                      .c_row = out});
}

}  // namespace

bool library_suits(std::string_view core, std::int64_t lanes) {
  constexpr std::array<std::string_view, 12> kWithoutAvx{"Prescott",   "Atom",    "Core2",   "Penryn",
                                                         "Dunnington", "Nehalem", "Opteron", "Opteron_SSE3",
                                                         "Barcelona",  "Nano",    "Bobcat",  "Unknown"};
  constexpr std::array<std::string_view, 3> kWithAvx512{"SkylakeX", "Cooperlake", "SapphireRapids"};
  const auto is_among = [&](const auto& cores) { return std::ranges::find(cores, core) != cores.end(); };
  return lanes <= 4 || (!is_among(kWithoutAvx) && (lanes <= 8 || is_among(kWithAvx512)));
}

void gemm(Trans trans_a, Trans trans_b, std::int64_t m, std::int64_t n, std::int64_t k, float alpha, const float* a,
          std::int64_t lda, const float* b, std::int64_t ldb, float beta, float* c, std::int64_t ldc) {
  multiply(trans_a, trans_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

void gemm(Trans trans_a, Trans trans_b, std::int64_t m, std::int64_t n, std::int64_t k, double alpha, const double* a,
          std::int64_t lda, const double* b, std::int64_t ldb, double beta, double* c, std::int64_t ldc) {
  multiply(trans_a, trans_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

void library_gemm(Trans trans_a, Trans trans_b, std::int64_t m, std::int64_t n, std::int64_t k, float alpha,
                  const float* a, std::int64_t lda, const float* b, std::int64_t ldb, float beta, float* c,
                  std::int64_t ldc) {
  large(trans_a, trans_b, static_cast<int>(m), static_cast<int>(n), static_cast<int>(k), alpha, a,
        static_cast<int>(lda), b, static_cast<int>(ldb), beta, c, static_cast<int>(ldc));
}

template <class T>
void AffineMap<T>::operator()(std::int64_t rows, const T* x, T* y) const {
  if (!is_narrow<T>(out_, in_)) return ordered(rows, out_, in_, x, weight_, transposed_, bias_, y);
  vector_functions().of<T>().dots({.rows = rows,
                                   .columns = out_,
                                   .terms = in_,
                                   .a = x,
                                   .a_row = in_,
                                   .w = weight_,
                                   .w_row = in_,
                                   .bias = bias_,
                                   .to = y});
}

template <class T>
void affine(std::int64_t rows, std::int64_t out, std::int64_t in, const T* x, const T* weight, const T* bias, T* y) {
  AffineMap<T>(out, in, weight, bias, kGemmSlot)(rows, x, y);
}

template <class T>
void affine_in_order(std::int64_t rows, std::int64_t out, std::int64_t in, const T* x, const T* weight, const T* bias,
                     T* y) {
  ordered(rows, out, in, x, weight, Packed<T>(weight, out, in, true, kGemmSlot), bias, y);
}

template class AffineMap<float>;
template class AffineMap<double>;
template void affine(std::int64_t, std::int64_t, std::int64_t, const float*, const float*, const float*, float*);
template void affine(std::int64_t, std::int64_t, std::int64_t, const double*, const double*, const double*, double*);
template void affine_in_order(std::int64_t, std::int64_t, std::int64_t, const float*, const float*, const float*,
                              float*);
template void affine_in_order(std::int64_t, std::int64_t, std::int64_t, const double*, const double*, const double*,
                              double*);

}  // namespace amend::kernels::cpu
