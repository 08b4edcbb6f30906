#include "kernels/edge_embed.hpp"

#include "test/support/random_features.hpp"
#include "test/support/twins.hpp"

AMEND_TWINS(edge_embed_forward, EdgeEmbed)
AMEND_TWINS(edge_embed_backward, EdgeEmbedGradient)

namespace amend::test {
namespace {

/// out and the gradients of weight and bias, which are added to what is there.
std::vector<Tensor> run(Twin twin, const kernels::BlockTable& table, const kernels::EdgeInput& input, std::int64_t d,
                        DType dtype) {
  const std::int64_t width = input.width();
  const Tensor weight = random_tensor({d, width}, dtype, 1, 0.5), bias = random_tensor({d}, dtype, 2, 0.5),
               grad_out = random_tensor({table.edge_count, d}, dtype, 3);
  const std::vector<Tensor> out = {unset({table.edge_count, d}, dtype), random_tensor({d, width}, dtype, 4),
                                   random_tensor({d}, dtype, 5)};
  const kernels::EdgeEmbed forward{.table = table, .input = input, .weight = weight, .bias = bias, .out = out[0]};
  twins::edge_embed_forward(twin, forward);
  twins::edge_embed_backward(twin,
                             {.forward = forward, .grad_out = grad_out, .grad_weight = out[1], .grad_bias = out[2]});
  return out;
}

TEST_CASE("cuda edge_embed") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const std::int64_t d = GENERATE(6, 64);
  // Blocks that end within a warp's edges, and more edges than a part of the gradients has.
  const RandomBatch batch = random_batch({{5, 1, 1, 2}, {5, 2}, {5, 47, 45, 2}}, Activation::relu, dtype, 1);
  const RandomFeatures features(batch.table(), dtype, 2, true);
  compare_twins("edge_embed", [&](Twin twin) { return run(twin, batch.table(), features.first(), d, dtype); });
}

TEST_CASE("cuda edge_embed of the features of a refinement") {
  const RandomBatch batch = random_batch({{5, 9, 2}}, Activation::relu, DType::float32, 1);
  const RandomFeatures features(batch.table(), DType::float32, 2, true);
  compare_twins("edge_embed",
                [&](Twin twin) { return run(twin, batch.table(), features.refine(), 128, DType::float32); });
}

TEST_CASE("cuda edge_embed to states of bfloat16") {
  const RandomBatch batch = random_batch({{5, 9, 2}}, Activation::relu, DType::float32, 1);
  const RandomFeatures features(batch.table(), DType::float32, 1, false);
  const Tensor weight = random_tensor({32, kernels::kEdgeFeatures}, DType::float32, 1, 0.5),
               bias = random_tensor({32}, DType::float32, 2, 0.5);
  compare_twins("edge_update_bf16", [&](Twin twin) {
    const Tensor out = unset({batch.table().edge_count, 32}, DType::bfloat16);
    twins::edge_embed_forward(
        twin, {.table = batch.table(), .input = features.first(), .weight = weight, .bias = bias, .out = out});
    return std::vector<Tensor>{out};
  });
}

TEST_CASE("cuda edge_embed of no networks") {
  const RandomBatch none = make_batch({}, DType::float32);
  const RandomFeatures features(none.table(), DType::float32, 1, false);
  const auto run_on = [&](Twin twin) { return run(twin, none.table(), features.first(), 16, DType::float32); };
  const std::vector<Tensor> got = run_on(Twin::cuda), expected = run_on(Twin::cpu);
  for (std::size_t i = 0; i < got.size(); ++i) CHECK(same_bits(got[i], expected[i]));
}

}  // namespace
}  // namespace amend::test
