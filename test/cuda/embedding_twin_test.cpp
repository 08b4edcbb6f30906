#include "kernels/embedding.hpp"

#include "test/support/twins.hpp"

AMEND_TWINS(embedding_add_forward, EmbeddingAdd)
AMEND_TWINS(embedding_add_backward, EmbeddingAddGradient)

namespace amend::test {
namespace {

TEST_CASE("cuda embedding_add") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const std::int64_t width = 5, entries = 3;
  for (std::int64_t rows : {0, 1, 1500}) {  // several chunks of rows
    const Tensor x = random_tensor({rows, width}, dtype, 1), table = random_tensor({entries, width}, dtype, 2),
                 index = random_integers({rows}, entries + 1, 3), grad_y = random_tensor({rows, width}, dtype, 4);
    for (std::int64_t row = 0; row < rows; ++row) index.as<std::int32_t>()[row] -= 1;
    const auto run = [&](Twin twin) {
      const Tensor y = unset({rows, width}, dtype), grad_x = random_tensor({rows, width}, dtype, 5),
                   grad_table = random_tensor({entries, width}, dtype, 6);
      const kernels::EmbeddingAdd forward{.x = x, .table = table, .index = index, .y = y};
      twins::embedding_add_forward(twin, forward);
      twins::embedding_add_backward(twin,
                                    {.forward = forward, .grad_y = grad_y, .grad_x = grad_x, .grad_table = grad_table});
      return std::vector<Tensor>{y, grad_x, grad_table};
    };
    compare_twins("embedding", run, {5.0, 5.0, 100.0});  // sums of hundreds of terms with random signs
  }
}

TEST_CASE("cuda embedding_add: an index outside the table is NaN") {
  const Tensor x({2, 1}, DType::float32), table({3, 1}, DType::float32), y({2, 1}, DType::float32);
  const Tensor index = make_tensor({2}, DType::int32, {2, 3});
  twins::embedding_add_forward(Twin::cuda, {.x = x, .table = table, .index = index, .y = y});
  CHECK(values(y)[0] == 0.0);
  CHECK(std::isnan(values(y)[1]));
}

}  // namespace
}  // namespace amend::test
