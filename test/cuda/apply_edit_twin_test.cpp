#include "kernels/apply_edit.hpp"

#include "test/support/twins.hpp"

AMEND_TWINS(apply_edit_forward, ApplyEdit)
AMEND_TWINS(apply_edit_backward, ApplyEditGradient)
AMEND_TWINS(node_gate_forward, NodeGate)
AMEND_TWINS(node_gate_backward, NodeGateGradient)
AMEND_TWINS(hidden_rows_forward, HiddenRows)
AMEND_TWINS(hidden_rows_backward, HiddenRowsGradient)

namespace amend::test {
namespace {

/// Everything an edit reads, for a batch; some weights are 0.
struct EditInput {
  Tensor weight, base, bias, mean, scale, gate, residual, node_gate, bias_residual, grad_weight, grad_bias;

  EditInput(const kernels::BlockTable& table, DType dtype)
      : weight(random_tensor({table.edge_count}, dtype, 1)),
        base(random_tensor({table.edge_count}, dtype, 2)),
        bias(random_tensor({table.node_count}, dtype, 3)),
        mean(random_tensor({table.node_count}, dtype, 4)),
        scale(random_tensor({table.block_count}, dtype, 5)),
        gate(random_tensor({table.edge_count}, dtype, 6)),
        residual(random_tensor({table.edge_count}, dtype, 7)),
        node_gate(random_tensor({table.node_count}, dtype, 8)),
        bias_residual(random_tensor({table.node_count}, dtype, 9)),
        grad_weight(random_tensor({table.edge_count}, dtype, 10)),
        grad_bias(random_tensor({table.node_count}, dtype, 11)) {
    for (std::int64_t k = 0; k < table.edge_count; k += 3)
      std::memset(static_cast<char*>(weight.view().data) + static_cast<std::size_t>(k) * size_of(dtype), 0,
                  size_of(dtype));
  }
};

/// edited_weight, edited_bias and the gradients of base, gate, residual, node_gate, bias_residual; `in` may be of a
/// larger batch, of which `table` is the part that starts at (edge, node, block).
std::vector<Tensor> run_edit(Twin twin, const kernels::BlockTable& table, const EditInput& in, bool all,
                             std::int64_t edge = 0, std::int64_t node = 0, std::int64_t block = 0) {
  const DType dtype = in.weight.view().dtype;
  const std::int64_t edges = table.edge_count, nodes = table.node_count;
  const auto of_edges = [&](const Tensor& x) { return slice_rows(x, edge, edges); };
  const auto of_nodes = [&](const Tensor& x) { return slice_rows(x, node, nodes); };
  const Tensor edited_weight = unset({edges}, dtype), edited_bias = unset({nodes}, dtype), grad_base({edges}, dtype),
               grad_gate({edges}, dtype), grad_residual({edges}, dtype), grad_node_gate({nodes}, dtype),
               grad_bias_residual({nodes}, dtype);
  const auto optional = [&](const TensorView& x) { return all ? x : TensorView{}; };
  const kernels::ApplyEdit forward{.table = table,
                                   .weight = of_edges(in.weight),
                                   .base = optional(of_edges(in.base)),
                                   .bias = of_nodes(in.bias),
                                   .mean = of_nodes(in.mean),
                                   .scale = slice_rows(in.scale, block, table.block_count),
                                   .gate = of_edges(in.gate),
                                   .residual = of_edges(in.residual),
                                   .node_gate = of_nodes(in.node_gate),
                                   .bias_residual = of_nodes(in.bias_residual),
                                   .edited_weight = edited_weight,
                                   .edited_bias = edited_bias};
  twins::apply_edit_forward(twin, forward);
  twins::apply_edit_backward(twin, {.forward = forward,
                                    .grad_edited_weight = of_edges(in.grad_weight),
                                    .grad_edited_bias = optional(of_nodes(in.grad_bias)),
                                    .grad_base = optional(grad_base),
                                    .grad_gate = grad_gate,
                                    .grad_residual = optional(grad_residual),
                                    .grad_node_gate = grad_node_gate,
                                    .grad_bias_residual = optional(grad_bias_residual)});
  return {edited_weight, edited_bias, grad_base, grad_gate, grad_residual, grad_node_gate, grad_bias_residual};
}

TEST_CASE("cuda apply_edit") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const bool all = GENERATE(false, true);
  const RandomBatch batch = random_batch(kRagged, Activation::relu, dtype, 1);
  const EditInput in(batch.table(), dtype);
  const std::vector<Tensor> got =
      compare_twins("apply_edit", [&](Twin twin) { return run_edit(twin, batch.table(), in, all); });
  for (std::size_t n = 0; n < kRagged.size(); ++n) {  // the same bits alone
    const kernels::Network& network = batch.table().network[n];
    const RandomBatch alone = make_batch({batch.networks[n]}, dtype);
    const std::vector<Tensor> own =
        run_edit(Twin::cuda, alone.table(), in, all, network.edge_offset, network.node_offset, network.first_block);
    for (std::size_t i = 0; i < own.size(); ++i) {
      const bool nodes = own[i].count() == network.node_count;
      CHECK(same_bits(own[i], slice_rows(got[i], nodes ? network.node_offset : network.edge_offset, own[i].count())));
    }
  }
  const RandomBatch none = make_batch({}, dtype);
  CHECK_NOTHROW(run_edit(Twin::cuda, none.table(), EditInput(none.table(), dtype), all));
}

TEST_CASE("cuda node_gate and hidden_rows") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const bool features = GENERATE(false, true), neurons = GENERATE(false, true), empty = GENERATE(false, true);
  const RandomBatch batch = random_batch(empty ? std::vector<std::vector<int>>{} : kRagged, Activation::relu, dtype, 1);
  const kernels::BlockTable& table = batch.table();
  const Tensor input_feature = make_tensor({5}, DType::int32, {0, 1, 1, 2, 0});
  const Tensor feature_gate = random_tensor({table.network_count, 3}, dtype, 1),
               neuron_gate = random_tensor({table.hidden_count}, dtype, 2),
               grad_node_gate = random_tensor({table.node_count}, dtype, 3),
               x = random_tensor({table.node_count}, dtype, 4);
  compare_twins("apply_edit", [&](Twin twin) {
    const Tensor node_gate = unset({table.node_count}, dtype),
                 grad_feature = random_tensor({table.network_count, 3}, dtype, 5),
                 grad_neuron = random_tensor({table.hidden_count}, dtype, 6), y = unset({table.hidden_count}, dtype),
                 grad_x = random_tensor({table.node_count}, dtype, 7);
    const kernels::NodeGate forward{.table = table,
                                    .feature_gate = features ? feature_gate.view() : TensorView{},
                                    .input_feature = input_feature,
                                    .neuron_gate = neurons ? neuron_gate.view() : TensorView{},
                                    .node_gate = node_gate};
    twins::node_gate_forward(twin, forward);
    twins::node_gate_backward(twin, {.forward = forward,
                                     .grad_node_gate = grad_node_gate,
                                     .grad_feature_gate = features ? grad_feature.view() : TensorView{},
                                     .grad_neuron_gate = neurons ? grad_neuron.view() : TensorView{}});
    twins::hidden_rows_forward(twin, {.table = table, .x = x, .y = y});
    twins::hidden_rows_backward(twin, {.table = table, .grad_y = neuron_gate, .grad_x = grad_x});
    return std::vector<Tensor>{node_gate, grad_feature, grad_neuron, y, grad_x};
  });
}

}  // namespace
}  // namespace amend::test
