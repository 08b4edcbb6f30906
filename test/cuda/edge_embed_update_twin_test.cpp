#include "kernels/edge_embed_update.hpp"

#include <cmath>

#include "test/support/random_features.hpp"
#include "test/support/twins.hpp"

AMEND_TWINS(edge_embed_update_forward, EdgeEmbedUpdate)
AMEND_TWINS(edge_embed_update_backward, EdgeEmbedUpdateGradient)

namespace amend::test {
namespace {

/// edge_out, aggregate and the gradients of weight, bias, projection, weight_c, weight_g and modulation.
std::vector<Tensor> run(Twin twin, const kernels::BlockTable& table, const kernels::EdgeInput& features, std::int64_t d,
                        DType dtype, kernels::Precision precision) {
  const double scale = 1.0 / std::sqrt(static_cast<double>(d));
  const std::vector<Tensor> in{random_tensor({d, features.width()}, dtype, 1, 0.5),
                               random_tensor({d}, dtype, 2, 0.5),
                               random_tensor({table.node_count, 4 * d}, dtype, 3),
                               random_tensor({d, d}, dtype, 4, scale),
                               random_tensor({d, d}, dtype, 5, scale),
                               random_tensor({table.network_count, 3 * d}, dtype, 6, 0.5, 0.7)};
  std::vector<Tensor> out{unset({table.edge_count, d}, dtype), unset({table.node_count, 2 * d}, dtype)};
  std::uint64_t seed = 7;
  for (const Tensor& x : in) out.push_back(random_tensor(x.view().shape, dtype, seed++));
  const Tensor state = unset({table.edge_count, d}, dtype),
               grad_edge_out = random_tensor({table.edge_count, d}, dtype, seed),
               grad_aggregate = random_tensor({table.node_count, 2 * d}, dtype, seed + 1);
  const kernels::EdgeEmbedUpdate forward{
      .embed = {.table = table, .input = features, .weight = in[0], .bias = in[1], .out = state},
      .update = {.table = table,
                 .edge = state,
                 .projection = in[2],
                 .weight_c = in[3],
                 .weight_g = in[4],
                 .modulation = in[5],
                 .edge_out = out[0],
                 .aggregate = out[1],
                 .precision = precision}};
  twins::edge_embed_update_forward(twin, forward);
  twins::edge_embed_update_backward(
      twin, {.embed = {.forward = forward.embed, .grad_out = grad_edge_out, .grad_weight = out[2], .grad_bias = out[3]},
             .update = {.forward = forward.update,
                        .grad_edge_out = grad_edge_out,
                        .grad_aggregate = grad_aggregate,
                        .grad_edge = grad_edge_out,
                        .grad_projection = out[4],
                        .grad_weight_c = out[5],
                        .grad_weight_g = out[6],
                        .grad_modulation = out[7]}});
  return out;
}

TEST_CASE("cuda edge_embed_update") {
  const auto [dtype, precision, entry] = GENERATE(table<DType, kernels::Precision, const char*>(
      {{DType::float32, kernels::Precision::float32, "edge_embed_update"},
       {DType::float64, kernels::Precision::float32, "edge_embed_update"},
       {DType::float32, kernels::Precision::bf16, "edge_update_bf16 twins"}}));
  const RandomBatch batch = random_batch({{5, 1, 2}, {5, 19, 5, 2}, {5, 2}}, Activation::relu, dtype, 1);
  const RandomFeatures features(batch.table(), dtype, 1, true);
  compare_twins(entry, [&, type = dtype, how = precision](Twin twin) {
    return run(twin, batch.table(), features.first(), 16, type, how);
  });
}

TEST_CASE("cuda edge_embed_update of no networks") {
  const RandomBatch none = make_batch({}, DType::float32);
  const RandomFeatures features(none.table(), DType::float32, 1, false);
  const auto run_on = [&](Twin twin) {
    return run(twin, none.table(), features.first(), 16, DType::float32, kernels::Precision::float32);
  };
  const std::vector<Tensor> got = run_on(Twin::cuda), expected = run_on(Twin::cpu);
  for (std::size_t i = 0; i < got.size(); ++i) CHECK(same_bits(got[i], expected[i]));
}

}  // namespace
}  // namespace amend::test
