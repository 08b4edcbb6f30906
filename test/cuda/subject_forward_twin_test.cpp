#include "kernels/subject_forward.hpp"

#include "test/support/twins.hpp"

AMEND_TWINS(subject_forward, SubjectForward)
AMEND_TWINS(subject_backward, SubjectForwardGradient)

namespace amend::test {
namespace {

constexpr std::int64_t kDataRows = 90;

/// What a batch of networks reads; rows and classes as in `grad_logits` (networks, rows, classes).
struct Inputs {
  Tensor x, row_index, grad_logits, grad_weight, grad_bias;

  Inputs(const kernels::BlockTable& table, std::int64_t rows, std::int64_t inputs, std::int64_t classes, bool indexed,
         DType dtype)
      : x(random_tensor({indexed ? kDataRows : rows, inputs}, dtype, 1)),
        row_index(indexed ? random_integers({table.network_count, rows}, kDataRows, 2) : Tensor()),
        grad_logits(random_tensor({table.network_count, rows, classes}, dtype, 3)),
        grad_weight(random_tensor({table.edge_count}, dtype, 4)),
        grad_bias(random_tensor({table.node_count}, dtype, 5)) {}
};

/// activation, slope, logits, grad_weight, grad_bias. Networks from `first` on of those that `in` is for.
std::vector<Tensor> run(Twin twin, const RandomBatch& batch, const Inputs& in, const kernels::Network& first = {},
                        std::int64_t index = 0) {
  const kernels::BlockTable& table = batch.table();
  const DType dtype = in.x.view().dtype;
  const std::int64_t rows = in.grad_logits.view().extent(1), networks = table.network_count;
  const Tensor activation = unset({table.hidden_count, rows}, dtype), slope = unset({table.hidden_count, rows}, dtype),
               logits = unset({networks, rows, in.grad_logits.view().extent(2)}, dtype);
  const Tensor grad_weight = convert(slice_rows(in.grad_weight, first.edge_offset, table.edge_count), dtype),
               grad_bias = convert(slice_rows(in.grad_bias, first.node_offset, table.node_count), dtype);
  const kernels::SubjectForward forward{
      .table = table,
      .weight = batch.weight,
      .bias = batch.bias,
      .x = in.x,
      .row_index = in.row_index ? slice_rows(in.row_index, index, networks) : TensorView{},
      .activation = activation,
      .slope = slope,
      .logits = logits};
  twins::subject_forward(twin, forward);
  twins::subject_backward(twin, {.forward = forward,
                                 .grad_logits = slice_rows(in.grad_logits, index, networks),
                                 .grad_weight = grad_weight,
                                 .grad_bias = grad_bias});
  return {activation, slope, logits, grad_weight, grad_bias};
}

/// Twins agree, and networks have the same bits alone; the networks of `widths` in `batch`.
void compare(const RandomBatch& batch, const Inputs& in) {
  const std::vector<Tensor> got = compare_twins("subject_backward", [&](Twin twin) { return run(twin, batch, in); });
  for (std::size_t n = 0; n < batch.networks.size(); ++n) {
    const kernels::Network& network = batch.table().network[n];
    const auto index = static_cast<std::int64_t>(n);
    const std::vector<Tensor> own =
        run(Twin::cuda, make_batch({batch.networks[n]}, in.x.view().dtype), in, network, index);
    const std::int64_t begin[] = {network.hidden_offset, network.hidden_offset, index, network.edge_offset,
                                  network.node_offset};
    for (std::size_t i = 0; i < own.size(); ++i) {
      INFO("output " << i << " of network " << n);
      CHECK(same_bits(own[i], slice_rows(got[i], begin[i], own[i].view().extent(0))));
    }
  }
}

constexpr Activation kActivations[] = {Activation::relu, Activation::tanh, Activation::silu, Activation::sigmoid};

TEST_CASE("cuda subject_forward") {
  const Activation activation = GENERATE(from_range(std::begin(kActivations), std::end(kActivations)));
  const bool indexed = activation == Activation::tanh || activation == Activation::silu;
  const DType dtype = activation == Activation::relu || indexed ? DType::float32 : DType::float64;
  const int classes = activation == Activation::relu ? 5 : 2, inputs = activation == Activation::silu ? 8 : 7;
  const RandomBatch batch =
      random_batch({{inputs, 12, 8, classes}, {inputs, classes}, {inputs, 4, 1, 3, classes}}, activation, dtype, 3);
  const std::int64_t rows = indexed ? 70 : 33;  // no multiple of a tile
  compare(batch, Inputs(batch.table(), rows, inputs, classes, indexed, dtype));
}

TEST_CASE("cuda subject_forward of networks that do not fit shared memory") {
  const bool indexed = GENERATE(false, true);
  const DType dtype = indexed ? DType::float64 : DType::float32;
  const RandomBatch batch = random_batch({{6, 5, 2}, {6, 70, 65, 2}}, Activation::tanh, dtype, 3);
  compare(batch, Inputs(batch.table(), indexed ? 20 : 66, 6, 2, indexed, dtype));
}

TEST_CASE("gpu subject_forward of networks that do not fit the shared memory of any", "[.][gpu]") {
  const RandomBatch batch = random_batch({{6, 5, 2}, {6, 260, 250, 2}}, Activation::tanh, DType::float32, 3);
  compare(batch, Inputs(batch.table(), 66, 6, 2, false, DType::float32));
}

TEST_CASE("cuda subject_forward: outputs are optional, and a row out of range gives NaN") {
  const DType dtype = DType::float32;
  const bool wide = GENERATE(false, true);
  const RandomBatch batch = random_batch({{6, 5, 2}, {6, wide ? 130 : 4, 30, 2}}, Activation::relu, dtype, 3);
  const Inputs in(batch.table(), 10, 6, 2, true, dtype);
  const std::vector<Tensor> all = run(Twin::cuda, batch, in);
  const Tensor logits = unset({2, 10, 2}, dtype);
  kernels::SubjectForward forward{.table = batch.table(),
                                  .weight = batch.weight,
                                  .bias = batch.bias,
                                  .x = in.x,
                                  .row_index = in.row_index,
                                  .logits = logits};
  twins::subject_forward(Twin::cuda, forward);
  CHECK(same_bits(logits, all[2]));

  forward.activation = all[0], forward.slope = all[1];
  const Tensor grad_bias = convert(in.grad_bias, dtype), grad_weight = convert(in.grad_weight, dtype);
  twins::subject_backward(Twin::cuda, {.forward = forward, .grad_logits = in.grad_logits, .grad_bias = grad_bias});
  twins::subject_backward(Twin::cuda, {.forward = forward, .grad_logits = in.grad_logits, .grad_weight = grad_weight});
  CHECK(same_bits(grad_bias, all[4]));
  CHECK(same_bits(grad_weight, all[3]));

  in.row_index.as<std::int32_t>()[12] = static_cast<std::int32_t>(kDataRows);
  in.row_index.as<std::int32_t>()[3] = -1;
  twins::subject_forward(Twin::cuda, forward);
  for (std::int64_t i = 0; i < 40; ++i) CHECK(std::isnan(logits.as<float>()[i]) == (i / 2 == 3 || i / 2 == 12));
}

TEST_CASE("cuda subject_forward of no networks, and of no rows") {
  const RandomBatch none = make_batch({}, DType::float32);
  CHECK_NOTHROW(run(Twin::cuda, none, Inputs(none.table(), 3, 6, 2, false, DType::float32)));
  const RandomBatch batch = random_batch({{6, 5, 2}}, Activation::relu, DType::float32, 3);
  const Inputs in(batch.table(), 0, 6, 2, false, DType::float32);
  CHECK(same_bits(run(Twin::cuda, batch, in)[3], in.grad_weight));
}

}  // namespace
}  // namespace amend::test
