// The inner loops of the CPU kernels, for every instruction set that this processor has.

#include "kernels/cpu/vector/functions.hpp"

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

#include "autograd/op/edge_update.hpp"
#include "autograd/op/edit_head.hpp"
#include "kernels/cpu/gemm.hpp"
#include "test/support/op_run.hpp"
#include "test/support/tolerance.hpp"

extern "C" char* openblas_get_corename();  // its header is the kernels' own

namespace amend {
namespace {

using kernels::cpu::supported_vector_functions;
using kernels::cpu::Trans;
using kernels::cpu::vector_functions;
using kernels::cpu::VectorFunctions;

/// Uses some functions for the life of the object.
class Using {
 public:
  explicit Using(const VectorFunctions& functions) : before_(vector_functions()) {
    kernels::cpu::use_vector_functions(functions);
  }
  ~Using() { kernels::cpu::use_vector_functions(before_); }
  Using(const Using&) = delete;
  Using& operator=(const Using&) = delete;

 private:
  const VectorFunctions& before_;
};

struct Sizes {
  std::int64_t m, n, k;
};

template <class T>
void check_gemm(const Sizes& size, Trans trans_a, Trans trans_b, double alpha, double beta) {
  const auto [m, n, k] = size;
  const DType dtype = dtype_of<T>();
  // Rows are longer than they must be, and what is between them is not touched.
  const bool a_transposed = trans_a == Trans::yes, b_transposed = trans_b == Trans::yes;
  const std::int64_t lda = (a_transposed ? m : k) + 3, ldb = (b_transposed ? k : n) + 1, ldc = n + 2;
  const Tensor a = test::random_tensor({a_transposed ? k : m, lda}, dtype, 1),
               b = test::random_tensor({b_transposed ? n : k, ldb}, dtype, 2),
               c = test::random_tensor({m, ldc}, dtype, 3), before = test::convert(c, dtype);
  // A result that is not to be read holds NaN.
  if (beta == 0.0)
    for (std::int64_t i = 0; i < m; ++i)
      for (std::int64_t j = 0; j < n; ++j) c.as<T>()[i * ldc + j] = std::numeric_limits<T>::quiet_NaN();
  kernels::cpu::gemm(trans_a, trans_b, m, n, k, static_cast<T>(alpha), a.as<T>(), lda, b.as<T>(), ldb,
                     static_cast<T>(beta), c.as<T>(), ldc);
  double worst = 0.0;
  for (std::int64_t i = 0; i < m; ++i)
    for (std::int64_t j = 0; j < ldc; ++j) {
      const double old = static_cast<double>(before.as<T>()[i * ldc + j]);
      double expected = old, magnitude = 1.0;
      if (j < n) {
        double sum = 0.0;
        for (std::int64_t l = 0; l < k; ++l) {
          const double term = static_cast<double>(a.as<T>()[a_transposed ? l * lda + i : i * lda + l]) *
                              static_cast<double>(b.as<T>()[b_transposed ? j * ldb + l : l * ldb + j]);
          sum += term;
          magnitude += std::abs(term);
        }
        expected = alpha * sum + (beta == 0.0 ? 0.0 : beta * old);
      }
      const double error = std::abs(static_cast<double>(c.as<T>()[i * ldc + j]) - expected) / magnitude;
      worst = error <= worst ? worst : error;  // NaN counts
    }
  INFO(m << " x " << n << " x " << k << ", transposed " << a_transposed << b_transposed);
  CHECK(worst <= 16 * static_cast<double>(std::numeric_limits<T>::epsilon()));
}

TEST_CASE("gemm agrees with the sum of its terms") {
  for (const VectorFunctions* functions : supported_vector_functions()) {
    const Using scope(*functions);
    INFO(functions->target);
    for (const Sizes& size :
         {Sizes{1, 1, 1}, {7, 2, 15}, {13, 16, 9}, {5, 33, 4}, {24, 24, 0}, {0, 3, 2}, {29, 104, 31}})
      for (Trans trans_a : {Trans::no, Trans::yes})
        for (Trans trans_b : {Trans::no, Trans::yes})
          for (double beta : {0.0, 1.0}) {
            check_gemm<float>(size, trans_a, trans_b, beta == 0.0 ? -1.0 : 0.5, beta);
            check_gemm<double>(size, trans_a, trans_b, 1.0, beta);
          }
  }
}

TEST_CASE("gemm of large matrices: the library's, unless it takes the processor for an older one") {
  CHECK(kernels::cpu::library_suits("SkylakeX", 16));
  CHECK(kernels::cpu::library_suits("of next year", 8));
  CHECK_FALSE(kernels::cpu::library_suits("of next year", 16));
  CHECK(kernels::cpu::library_suits("Haswell", 8));
  CHECK_FALSE(kernels::cpu::library_suits("Haswell", 16));
  CHECK_FALSE(kernels::cpu::library_suits("Prescott", 16));
  CHECK_FALSE(kernels::cpu::library_suits("Nehalem", 8));
  CHECK(kernels::cpu::library_suits("Nehalem", 4));
  // So many terms that the library adds them in several parts: its bits are not those of one sum, as ours are.
  constexpr std::int64_t m = 3, n = 40, k = 3000;
  const Tensor a = test::random_tensor({m, k}, DType::float32, 1), b = test::random_tensor({n, k}, DType::float32, 2),
               ours(Shape{m, n}, DType::float32), library(Shape{m, n}, DType::float32);
  const auto product = [&](const auto& gemm, const Tensor& c) {
    gemm(Trans::no, Trans::yes, m, n, k, 1.0f, a.as<float>(), k, b.as<float>(), k, 0.0f, c.as<float>(), n);
  };
  product([](auto... arguments) { kernels::cpu::gemm(arguments...); }, ours);
  product(kernels::cpu::library_gemm, library);
  CHECK(test::same_bits(ours.view(), library.view()) ==
        kernels::cpu::library_suits(openblas_get_corename(), vector_functions().float32.packed_width(1)));
  check_gemm<float>({3, 300, 300}, Trans::no, Trans::yes, 1.0, 1.0);
  check_gemm<double>({3, 300, 300}, Trans::yes, Trans::no, -1.0, 0.0);
}

TEST_CASE("gemm: a row has the same bits wherever it lies") {
  constexpr std::int64_t n = 19, k = 23, m = 31;
  for (const VectorFunctions* functions : supported_vector_functions()) {
    const Using scope(*functions);
    const Tensor a = test::random_tensor({m, k}, DType::float32, 1), b = test::random_tensor({k, n}, DType::float32, 2);
    const auto rows = [&](std::int64_t first, std::int64_t count) {
      Tensor c({count, n}, DType::float32);
      kernels::cpu::gemm(Trans::no, Trans::no, count, n, k, 1.0f, a.as<float>() + first * k, k, b.as<float>(), n, 0.0f,
                         c.as<float>(), n);
      return c;
    };
    const Tensor all = rows(0, m);
    for (std::int64_t row : {0, 5, 6, 12, 24, 30}) CHECK(test::same_bits(rows(row, 1), slice_rows(all, row, 1)));
  }
}

template <class T>
void check_sparse(std::int64_t rows, std::int64_t terms, std::int64_t columns) {
  using kernels::cpu::kSparseRoom;
  const DType dtype = dtype_of<T>();
  const auto& functions = vector_functions().of<T>();
  const Tensor a = test::random_tensor({2 * rows, terms}, dtype, 1),
               b = test::random_tensor({terms, columns}, dtype, 2), bias = test::random_tensor({columns}, dtype, 3),
               d = test::random_tensor({rows, columns}, dtype, 4),
               index = test::random_integers({rows}, static_cast<std::int32_t>(2 * rows), 5);
  std::int64_t most = 0;
  Tensor rows_of_a({rows, terms}, dtype);
  for (std::int64_t i = 0; i < a.count(); ++i)
    if (a.as<T>()[i] < T(0.8)) a.as<T>()[i] = T(0);
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t j = 0; j < terms; ++j) {
      const T value = a.as<T>()[index.as<std::int32_t>()[r] * terms + j];
      rows_of_a.as<T>()[r * terms + j] = value;
      most += value != T(0);
    }
  std::vector<std::int32_t> begin(static_cast<std::size_t>(rows + 1)),
      column(static_cast<std::size_t>(most + terms + kSparseRoom));
  std::vector<T> value(column.size());
  kernels::cpu::CompressedRows<T> found{.rows = rows,
                                        .columns = terms,
                                        .data = a.as<T>(),
                                        .index = index.as<std::int32_t>(),
                                        .most = most,
                                        .begin = begin.data(),
                                        .column = column.data(),
                                        .value = value.data()};
  REQUIRE(functions.compress(found));
  CHECK(begin.back() == most);
  for (std::int64_t r = 0; r < rows; ++r) {
    std::int32_t e = begin[static_cast<std::size_t>(r)];
    for (std::int64_t j = 0; j < terms; ++j)
      if (const T x = rows_of_a.as<T>()[r * terms + j]; x != T(0)) {
        const auto at = static_cast<std::size_t>(e++);
        REQUIRE(column[at] == j);
        REQUIRE(value[at] == x);
      }
    REQUIRE(e == begin[static_cast<std::size_t>(r + 1)]);
  }
  const kernels::cpu::SparseRows<T> sparse{begin.data(), column.data(), value.data()};
  Tensor packed({terms, functions.packed_width(columns)}, dtype), product({rows, columns}, dtype),
      outer({columns, terms}, dtype), sums({terms, functions.packed_width(1)}, dtype);
  functions.pack(
      {.rows = terms, .columns = columns, .data = b.as<T>(), .row = columns, .column = 1, .packed = packed.as<T>()});
  functions.sparse_product({.rows = rows,
                            .columns = columns,
                            .terms = terms,
                            .a = sparse,
                            .packed = packed.as<T>(),
                            .bias = bias.as<T>(),
                            .c = product.as<T>()});
  const auto near = [](const Tensor& got, std::int64_t at, double exact) {
    return std::abs(static_cast<double>(got.as<T>()[at]) - exact) <=
           100 * static_cast<double>(std::numeric_limits<T>::epsilon());
  };
  const auto at = [](const Tensor& tensor, std::int64_t i) { return static_cast<double>(tensor.as<T>()[i]); };
  for (std::int64_t i = 0; i < columns; ++i) {
    for (std::int64_t r = 0; r < rows; ++r) {
      double sum = at(bias, i);
      for (std::int64_t j = 0; j < terms; ++j) sum += at(rows_of_a, r * terms + j) * at(b, j * columns + i);
      REQUIRE(near(product, r * columns + i, sum));
    }
  }
  std::vector<std::int32_t> column_begin, row_of;
  std::vector<T> value_of;
  for (std::int64_t j = 0; j < terms; ++j) {
    column_begin.push_back(static_cast<std::int32_t>(row_of.size()));
    for (std::int64_t r = 0; r < rows; ++r)
      if (const T x = rows_of_a.as<T>()[r * terms + j]; x != T(0)) {
        row_of.push_back(static_cast<std::int32_t>(r));
        value_of.push_back(x);
      }
  }
  column_begin.push_back(static_cast<std::int32_t>(row_of.size()));
  const Tensor base = test::random_tensor({terms}, dtype, 6), none({terms}, dtype);
  for (const auto& [based, by_column] : {std::pair{false, false}, {true, false}, {false, true}, {true, true}}) {
    kernels::cpu::SparseColumns<T> columns_of_a{};
    if (by_column) columns_of_a = {column_begin.data(), row_of.data(), value_of.data()};
    functions.sparse_outer({.rows = rows,
                            .columns = columns,
                            .terms = terms,
                            .a = sparse,
                            .a_columns = columns_of_a,
                            .base = based ? base.as<T>() : nullptr,
                            .d = d.as<T>(),
                            .sums = sums.as<T>(),
                            .c = outer.as<T>()});
    for (std::int64_t i = 0; i < columns; ++i)
      for (std::int64_t j = 0; j < terms; ++j) {
        double sum = 0.0;
        for (std::int64_t r = 0; r < rows; ++r)
          sum += (at(rows_of_a, r * terms + j) + at(based ? base : none, j)) * at(d, r * columns + i);
        REQUIRE(near(outer, i * terms + j, sum));
      }
  }
  if (most == 0) return;
  found.most = most - 1;
  CHECK_FALSE(functions.compress(found));
}

template <class T>
void check_dots(std::int64_t rows, std::int64_t columns, std::int64_t terms) {
  const DType dtype = dtype_of<T>();
  const std::int64_t a_row = terms + 3, w_row = terms + 1;
  const Tensor a = test::random_tensor({rows, a_row}, dtype, 1), w = test::random_tensor({columns, w_row}, dtype, 2),
               bias = test::random_tensor({columns}, dtype, 3), to({rows * columns + 1}, dtype);
  for (const bool biased : {false, true}) {
    to.as<T>()[rows * columns] = T(7);
    vector_functions().of<T>().dots({.rows = rows,
                                     .columns = columns,
                                     .terms = terms,
                                     .a = a.as<T>(),
                                     .a_row = a_row,
                                     .w = w.as<T>(),
                                     .w_row = w_row,
                                     .bias = biased ? bias.as<T>() : nullptr,
                                     .to = to.as<T>()});
    for (std::int64_t r = 0; r < rows; ++r)
      for (std::int64_t c = 0; c < columns; ++c) {
        double sum = biased ? static_cast<double>(bias.as<T>()[c]) : 0.0, magnitude = 1.0;
        for (std::int64_t i = 0; i < terms; ++i) {
          const double term =
              static_cast<double>(a.as<T>()[r * a_row + i]) * static_cast<double>(w.as<T>()[c * w_row + i]);
          sum += term;
          magnitude += std::abs(term);
        }
        const double error = std::abs(static_cast<double>(to.as<T>()[r * columns + c]) - sum) / magnitude;
        REQUIRE(error <= 16 * static_cast<double>(std::numeric_limits<T>::epsilon()));
      }
    CHECK(to.as<T>()[rows * columns] == T(7));
  }
}

TEST_CASE("dot products agree with the sums of their terms, and write no more than them") {
  for (const VectorFunctions* functions : supported_vector_functions()) {
    const Using scope(*functions);
    INFO(functions->target);
    for (const Sizes& size : {Sizes{1, 1, 1}, {16, 1, 16}, {17, 2, 16}, {48, 3, 32}, {5, 4, 33}, {104, 1, 256}}) {
      check_dots<float>(size.m, size.n, size.k);
      check_dots<double>(size.m, size.n, size.k);
    }
  }
}

TEST_CASE("an affine map: a row has the same bits in any batch, whatever the number of columns") {
  for (const VectorFunctions* functions : supported_vector_functions()) {
    const Using scope(*functions);
    for (const std::int64_t out : {1, 2, 3, 40}) {
      constexpr std::int64_t in = 20, rows = 29;
      const Tensor x = test::random_tensor({rows, in}, DType::float32, 1),
                   weight = test::random_tensor({out, in}, DType::float32, 2),
                   bias = test::random_tensor({out}, DType::float32, 3);
      const kernels::cpu::AffineMap<float> map(out, in, weight.as<float>(), bias.as<float>(), 3);
      Tensor all({rows, out}, DType::float32), one({1, out}, DType::float32);
      map(rows, x.as<float>(), all.as<float>());
      for (std::int64_t r = 0; r < rows; ++r) {
        map(1, x.as<float>() + r * in, one.as<float>());
        CHECK(test::same_bits(one, slice_rows(all, r, 1)));
      }
    }
  }
}

TEST_CASE("products without zeros agree with the sums of their terms") {
  for (const VectorFunctions* functions : supported_vector_functions()) {
    const Using scope(*functions);
    INFO(functions->target);
    for (const Sizes& size : {Sizes{1, 1, 1}, {7, 2, 15}, {13, 16, 16}, {5, 33, 40}, {30, 32, 104}, {4, 70, 33}}) {
      check_sparse<float>(size.m, size.k, size.n);
      check_sparse<double>(size.m, size.k, size.n);
    }
  }
}

template <class T>
void check_rows(std::int64_t width) {
  const DType dtype = dtype_of<T>();
  const auto& functions = vector_functions().of<T>();
  const Tensor x = test::random_tensor({width}, dtype, 1, 3.0, 2.0), y({width}, dtype);
  const std::vector<double> before = test::values(x);
  double mean = 0.0, variance = 0.0;
  for (const double value : before) mean += value / static_cast<double>(width);
  for (const double value : before) variance += (value - mean) * (value - mean) / static_cast<double>(width);
  const double deviation = std::sqrt(variance + 0.125);
  std::vector<double> normal, open;
  for (const double value : before) {
    normal.push_back((value - mean) / deviation);
    open.push_back(value / (1.0 + std::exp(-value)));
  }
  functions.silu_row(x.as<T>(), width, y.as<T>());
  CHECK(test::close("pointwise", y, open));
  const T inverse = functions.normalise_row(x.as<T>(), width, T(0.125));
  CHECK(test::close("node_update", x, normal));
  CHECK(static_cast<double>(inverse) == Approx(1.0 / deviation).epsilon(1e-5));
}

TEST_CASE("the layer norm and silu of a row") {
  for (const VectorFunctions* functions : supported_vector_functions()) {
    const Using scope(*functions);
    INFO(functions->target);
    for (const std::int64_t width : {1, 7, 16, 33, 128}) {
      check_rows<float>(width);
      check_rows<double>(width);
    }
  }
}

TEST_CASE("silu of a row: error below 2.5e-7 max(1, |x|) in every instruction set") {
  constexpr std::int64_t kCount = 102400;
  std::vector<float> x(kCount), y(kCount);
  for (std::int64_t i = 0; i < kCount; ++i)
    x[static_cast<std::size_t>(i)] = static_cast<float>(i - kCount / 2) / 512.0f;
  const std::vector<float> extreme = {0.0f, -0.0f, 1e-40f, 72.0f, 1e30f, -1e30f, std::numeric_limits<float>::max()};
  for (const VectorFunctions* functions : supported_vector_functions()) {
    INFO(functions->target);
    functions->float32.silu_row(x.data(), kCount, y.data());
    double worst = 0.0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double at = x[i], exact = at / (1.0 + std::exp(-at));
      worst = std::max(worst, std::abs(static_cast<double>(y[i]) - exact) / std::max(1.0, std::abs(at)));
    }
    CHECK(worst < 2.5e-7);
    CHECK(worst > 1e-9);  // something was rounded

    std::vector<float> open(extreme.size());
    functions->float32.silu_row(extreme.data(), static_cast<std::int64_t>(extreme.size()), open.data());
    for (std::size_t i = 0; i < open.size(); ++i) {
      INFO(extreme[i]);
      CHECK(std::isfinite(open[i]));
      if (extreme[i] >= 0.0f && extreme[i] != 1e-40f) CHECK(open[i] == (extreme[i] >= 72.0f ? extreme[i] : 0.0f));
    }
    const float none = std::numeric_limits<float>::quiet_NaN();
    functions->float32.silu_row(&none, 1, open.data());
    CHECK(std::isnan(open[0]));
  }
}

TEST_CASE("edge_update and edit_head agree across instruction sets") {
  const std::int64_t d = GENERATE(5, 16, 32, 64, 128);
  const test::RandomBatch batch = test::random_batch({{6, 5, 3}, {6, 9, 2, 3}}, Activation::relu, DType::float64, 3);
  const auto& table = batch.table();
  const std::vector<Tensor> edge_inputs = {test::random_tensor({table.edge_count, d}, DType::float64, 1),
                                           test::random_tensor({table.node_count, 4 * d}, DType::float64, 2),
                                           test::random_tensor({d, d}, DType::float64, 3, 0.3),
                                           test::random_tensor({d, d}, DType::float64, 4, 0.3),
                                           test::random_tensor({table.network_count, 3 * d}, DType::float64, 5, 0.5)};
  const std::vector<Tensor> edge_grads = {test::random_tensor({table.edge_count, d}, DType::float64, 6),
                                          test::random_tensor({table.node_count, 2 * d}, DType::float64, 7)};
  const test::TapeProgram messages = [&](Tape& tape, const std::vector<Variable>& in) -> std::vector<Variable> {
    const op::EdgeUpdateResult result = op::edge_update(tape, table, in[0], in[1], in[2], in[3], in[4]);
    return {result.edge, result.aggregate};
  };
  const std::int64_t outputs = d == 128 ? 19 : 3;
  const std::vector<Tensor> head_inputs = {
      test::random_tensor({table.edge_count, 15}, DType::float64, 1),
      test::random_tensor({d, 15}, DType::float64, 2, 0.3),
      test::random_tensor({table.node_count, 2 * d}, DType::float64, 3),
      test::random_tensor({kernels::kBlockKinds, d}, DType::float64, 4),
      test::random_tensor({d, d}, DType::float64, 5, 0.2),
      test::random_tensor({kernels::kBlockKinds, outputs, d}, DType::float64, 6, 0.3),
      test::random_tensor({kernels::kBlockKinds, outputs}, DType::float64, 7)};
  const std::vector<Tensor> head_grads = {test::random_tensor({table.edge_count, outputs}, DType::float64, 8)};
  const test::TapeProgram head = [&](Tape& tape, const std::vector<Variable>& in) -> std::vector<Variable> {
    return {op::edit_head(tape, table,
                          {.edge = in[0],
                           .weight = in[1],
                           .projection = in[2],
                           .kind_bias = in[3],
                           .mix = in[4],
                           .head = in[5],
                           .head_bias = in[6]})};
  };
  const test::OpRun exact_messages = test::run_op(edge_inputs, DType::float64, messages, edge_grads),
                    exact_head = test::run_op(head_inputs, DType::float64, head, head_grads);
  for (const VectorFunctions* functions : supported_vector_functions()) {
    const Using scope(*functions);
    INFO(functions->target << ", D = " << d);
    const test::OpRun messages_run = test::run_op(edge_inputs, DType::float32, messages, edge_grads);
    CHECK(test::close("edge_update", messages_run.outputs[0], test::values(exact_messages.outputs[0])));
    CHECK(test::close("edge_update", messages_run.outputs[1], test::values(exact_messages.outputs[1])));
    CHECK(test::gradients_close("edge_update", messages_run, exact_messages));
    const test::OpRun head_run = test::run_op(head_inputs, DType::float32, head, head_grads);
    CHECK(test::close("edit_head", head_run.outputs[0], test::values(exact_head.outputs[0])));
    CHECK(test::gradients_close("edit_head", head_run, exact_head));
  }
}

TEST_CASE("edge_update rounds operands alike in every instruction set") {
  const auto precision = GENERATE(kernels::Precision::tf32, kernels::Precision::bf16);
  const std::int64_t d = GENERATE(5, 16, 32, 64, 128);
  const test::RandomBatch batch = test::random_batch({{6, 5, 3}, {6, 9, 2, 3}}, Activation::relu, DType::float32, 3);
  const auto& table = batch.table();
  const std::vector<Tensor> inputs = {test::random_tensor({table.edge_count, d}, DType::float32, 1),
                                      test::random_tensor({table.node_count, 4 * d}, DType::float32, 2),
                                      test::random_tensor({d, d}, DType::float32, 3, 0.3),
                                      test::random_tensor({d, d}, DType::float32, 4, 0.3),
                                      test::random_tensor({table.network_count, 3 * d}, DType::float32, 5, 0.5)};
  const std::vector<Tensor> grads = {test::random_tensor({table.edge_count, d}, DType::float32, 6),
                                     test::random_tensor({table.node_count, 2 * d}, DType::float32, 7)};
  const auto results = [&](kernels::Precision how) {
    const test::OpRun run = test::run_op(
        inputs, DType::float32,
        [&](Tape& tape, const std::vector<Variable>& in) -> std::vector<Variable> {
          const op::EdgeUpdateResult result = op::edge_update(tape, table, in[0], in[1], in[2], in[3], in[4], how);
          return {result.edge, result.aggregate};
        },
        grads);
    std::vector<std::vector<double>> all;
    for (const auto* tensors : {&run.outputs, &run.gradients})
      for (const Tensor& x : *tensors) all.push_back(test::values(x));
    return all;
  };
  const auto exact = results(kernels::Precision::float32), expected = results(precision);
  for (const VectorFunctions* functions : supported_vector_functions()) {
    const Using scope(*functions);
    const auto got = results(precision);
    for (std::size_t i = 0; i < got.size(); ++i) {
      INFO(functions->target << ", D = " << d << ", result " << i);
      // A sum on the other side of a tie rounds an operand otherwise: few do.
      CHECK(test::mean_difference(got[i], expected[i]) <= 0.05 * test::mean_difference(exact[i], expected[i]));
    }
  }
}

}  // namespace
}  // namespace amend
