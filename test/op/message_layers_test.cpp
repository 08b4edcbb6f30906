#include "kernels/message_layers.hpp"

#include <catch2/catch.hpp>

#include "kernels/edge_update.hpp"
#include "kernels/linear.hpp"
#include "kernels/node_update.hpp"
#include "test/support/message_setup.hpp"
#include "test/support/op_run.hpp"
#include "test/support/random_features.hpp"

namespace amend::test {
namespace {

TEST_CASE("message_layers are linear, edge_update and node_update in turn") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const RandomBatch batch = random_batch(kRagged, Activation::relu, dtype, 3);
  const kernels::BlockTable& table = batch.table();
  const MessageSetup setup(table, {.d = 8, .h = 6, .layers = 3}, dtype);
  const auto [edge_out, node_out] = setup.run(kernels::cpu::message_layers);
  Tensor edge = setup.edge, node = setup.node;
  for (const kernels::MessageLayer& layer : setup.layer) {
    const Tensor projection({table.node_count, 32}, dtype), aggregate({table.node_count, 16}, dtype),
        next_edge(edge.view().shape, dtype), next_node(node.view().shape, dtype);
    kernels::cpu::linear_forward({.x = node,
                                  .weight = layer.projection_weight,
                                  .bias = layer.projection_bias,
                                  .y = projection,
                                  .segments = table.network_nodes},
                                 Stream{});
    kernels::cpu::edge_update_forward({.table = table,
                                       .edge = edge,
                                       .projection = projection,
                                       .weight_c = layer.weight_c,
                                       .weight_g = layer.weight_g,
                                       .modulation = layer.modulation,
                                       .edge_out = next_edge,
                                       .aggregate = aggregate},
                                      Stream{});
    kernels::cpu::node_update_forward({.table = table,
                                       .node = node,
                                       .aggregate = aggregate,
                                       .condition = setup.condition,
                                       .weight1 = layer.weight1,
                                       .bias1 = layer.bias1,
                                       .weight2 = layer.weight2,
                                       .bias2 = layer.bias2,
                                       .alpha = layer.alpha,
                                       .node_out = next_node},
                                      Stream{});
    edge = next_edge;
    node = next_node;
  }
  CHECK(same_bits(edge_out, edge));
  CHECK(same_bits(node_out, node));
  CHECK_FALSE(same_bits(edge_out, setup.edge));
  CHECK_FALSE(same_bits(node_out, setup.node));
}

TEST_CASE("message_layers may form the states") {
  const DType type = GENERATE(DType::float32, DType::float64, DType::bfloat16), dtype = arithmetic_of(type);
  const int layers = GENERATE(0, 1, 3);
  const RandomBatch batch = random_batch(kRagged, Activation::relu, dtype, 3);
  const MessageSetup setup(batch.table(), {.d = 16, .h = 6, .layers = layers}, type);
  const RandomFeatures features(batch.table(), dtype, 1, true);
  const Tensor weight = random_tensor({16, kernels::kEdgeFeatures}, dtype, 4, 0.2),
               bias = random_tensor({16}, dtype, 5, 0.5);
  kernels::EdgeEmbed embed{
      .table = batch.table(), .input = features.first(), .weight = weight, .bias = bias, .out = setup.edge};
  const auto formed = setup.run(kernels::cpu::message_layers, embed);
  kernels::cpu::edge_embed_forward(embed, Stream{});
  const auto expected = setup.run(kernels::cpu::message_layers);
  if (type == DType::bfloat16) {
    CHECK(same_bits(formed.first, expected.first));
    CHECK(same_bits(formed.second, expected.second));
  } else {
    CHECK(close("message_layers", formed.first, values(expected.first)));
    CHECK(close("message_layers", formed.second, values(expected.second)));
  }
  embed.out = formed.first;
  CHECK_THAT(error_of([&] { setup.run(kernels::cpu::message_layers, embed); }),
             Catch::Contains("expected the states of `embed` as `edge`"));
  const Tensor refine_weight({16, kernels::refine_edge_features(1)}, dtype);
  embed.out = setup.edge;
  embed.input = features.refine();
  embed.weight = refine_weight;
  CHECK_THAT(error_of([&] { setup.run(kernels::cpu::message_layers, embed); }),
             Catch::Contains("expected the features of the first pass as `embed.input`"));
}

TEST_CASE("message_layers: no layers copy, and mistakes name the argument") {
  const RandomBatch batch = random_batch({{5, 3, 2}}, Activation::relu, DType::float32, 3);
  const MessageSetup none(batch.table(), {.d = 8, .h = 6, .layers = 0}, DType::float32);
  const auto [edge_out, node_out] = none.run(kernels::cpu::message_layers);
  CHECK(same_bits(edge_out, none.edge));
  CHECK(same_bits(node_out, none.node));

  MessageSetup wrong(batch.table(), {.d = 8, .h = 6, .layers = 2}, DType::float32);
  wrong.layer[1].weight1 = wrong.layer[1].weight2;
  CHECK_THAT(error_of([&] { wrong.run(kernels::cpu::message_layers); }),
             Catch::Contains("[message_layers] expected `"));
  const MessageSetup many(batch.table(), {.d = 8, .h = 6, .layers = 9}, DType::float32);
  CHECK_THAT(error_of([&] { many.run(kernels::cpu::message_layers); }), Catch::Contains("expected at most 8 layers"));
}

}  // namespace
}  // namespace amend::test
