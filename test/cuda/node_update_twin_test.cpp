#include "kernels/node_update.hpp"

#include "test/support/twins.hpp"

AMEND_TWINS(node_update_forward, NodeUpdate)
AMEND_TWINS(node_update_backward, NodeUpdateGradient)

namespace amend::test {
namespace {

constexpr std::int64_t kH = 8, kM = 12, kP = 5, kF = 9;

/// node_out and the gradients of node, aggregate, condition, alpha, weight1, bias1, weight2, bias2; inputs are those of
/// a larger batch, of which `table` is the part that starts at (first_node, first_network).
std::vector<Tensor> run(Twin twin, const kernels::BlockTable& table, const kernels::BlockTable& batch, DType dtype,
                        std::int64_t first_node = 0, std::int64_t first_network = 0) {
  const auto nodes = [&](std::int64_t width, std::uint64_t seed) {
    return convert(slice_rows(random_tensor({batch.node_count, width}, dtype, seed), first_node, table.node_count),
                   dtype);
  };
  const auto networks = [&](std::int64_t width, std::uint64_t seed) {
    return convert(
        slice_rows(random_tensor({batch.network_count, width}, dtype, seed), first_network, table.network_count),
        dtype);
  };
  const Tensor node = nodes(kH, 1), aggregate = nodes(kM, 2), condition = networks(kP, 3), alpha = networks(kH, 4),
               weight1 = random_tensor({kF, kH + kM + kP}, dtype, 5, 0.3), bias1 = random_tensor({kF}, dtype, 6),
               weight2 = random_tensor({kH, kF}, dtype, 7, 0.3), bias2 = random_tensor({kH}, dtype, 8),
               grad_node_out = nodes(kH, 9), node_out = unset(node.view().shape, dtype);
  const Tensor grad_node = nodes(kH, 11), grad_aggregate = nodes(kM, 12), grad_condition = networks(kP, 13),
               grad_alpha = networks(kH, 14), grad_weight1(weight1.view().shape, dtype), grad_bias1({kF}, dtype),
               grad_weight2(weight2.view().shape, dtype), grad_bias2({kH}, dtype);
  const kernels::NodeUpdate forward{.table = table,
                                    .node = node,
                                    .aggregate = aggregate,
                                    .condition = condition,
                                    .weight1 = weight1,
                                    .bias1 = bias1,
                                    .weight2 = weight2,
                                    .bias2 = bias2,
                                    .alpha = alpha,
                                    .node_out = node_out};
  twins::node_update_forward(twin, forward);
  twins::node_update_backward(twin, {.forward = forward,
                                     .grad_node_out = grad_node_out,
                                     .grad_node = grad_node,
                                     .grad_aggregate = grad_aggregate,
                                     .grad_condition = grad_condition,
                                     .grad_weight1 = grad_weight1,
                                     .grad_bias1 = grad_bias1,
                                     .grad_weight2 = grad_weight2,
                                     .grad_bias2 = grad_bias2,
                                     .grad_alpha = grad_alpha});
  return {node_out,     grad_node,  grad_aggregate, grad_condition, grad_alpha,
          grad_weight1, grad_bias1, grad_weight2,   grad_bias2};
}

TEST_CASE("cuda node_update") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const RandomBatch batch = random_batch(kRagged, Activation::relu, dtype, 1);
  const std::vector<Tensor> got =
      compare_twins("node_update", [&](Twin twin) { return run(twin, batch.table(), batch.table(), dtype); });
  for (std::size_t n : {0u, 2u, 4u}) {  // the same bits alone
    const kernels::Network& network = batch.table().network[n];
    const RandomBatch alone = make_batch({batch.networks[n]}, dtype);
    const std::int64_t own_network = static_cast<std::int64_t>(n);
    const std::vector<Tensor> own =
        run(Twin::cuda, alone.table(), batch.table(), dtype, network.node_offset, own_network);
    for (std::size_t i : {0u, 1u, 2u})
      CHECK(same_bits(own[i], slice_rows(got[i], network.node_offset, network.node_count)));
    for (std::size_t i : {3u, 4u}) CHECK(same_bits(own[i], slice_rows(got[i], own_network, 1)));
  }
}

TEST_CASE("cuda node_update of no networks") {
  const RandomBatch none = make_batch({}, DType::float32);
  const std::vector<Tensor> got = run(Twin::cuda, none.table(), none.table(), DType::float32);
  CHECK(largest(values(got[5])) == 0.0);
}

}  // namespace
}  // namespace amend::test
