#include "autograd/op/edge_update.hpp"

#include <catch2/catch.hpp>
#include <cmath>
#include <numeric>
#include <utility>

#include "test/support/gradcheck.hpp"
#include "test/support/op_run.hpp"
#include "test/support/tolerance.hpp"

namespace amend {
namespace {

using kernels::Block;
using test::RandomBatch;

/// edge, projection, weight_c, weight_g, modulation.
std::vector<Tensor> random_inputs(const kernels::BlockTable& table, std::int64_t d, DType dtype = DType::float64) {
  return {test::random_tensor({table.edge_count, d}, dtype, 1),
          test::random_tensor({table.node_count, 4 * d}, dtype, 2), test::random_tensor({d, d}, dtype, 3, 0.5),
          test::random_tensor({d, d}, dtype, 4, 0.5),
          test::random_tensor({table.network_count, 3 * d}, dtype, 5, 0.5, 0.7)};
}

test::TapeProgram program(const kernels::BlockTable& table,
                          kernels::Precision precision = kernels::Precision::float32) {
  return [&table, precision](Tape& tape, const std::vector<Variable>& in) -> std::vector<Variable> {
    const op::EdgeUpdateResult result = op::edge_update(tape, table, in[0], in[1], in[2], in[3], in[4], precision);
    return {result.edge, result.aggregate};
  };
}

std::vector<Tensor> random_grads(const kernels::BlockTable& table, std::int64_t d, DType dtype = DType::float64) {
  return {test::random_tensor({table.edge_count, d}, dtype, 6),
          test::random_tensor({table.node_count, 2 * d}, dtype, 7)};
}

/// edge_out and aggregate, weight by weight, from the header's formula.
std::pair<std::vector<double>, std::vector<double>> oracle(const kernels::BlockTable& table,
                                                           const std::vector<Tensor>& in) {
  const test::Matrix edge(in[0]), projection(in[1]), weight_c(in[2]), weight_g(in[3]), modulation(in[4]);
  const std::int64_t d = edge.width;
  test::Matrix out(table.edge_count, d), aggregate(table.node_count, 2 * d);
  std::vector<double> z(static_cast<std::size_t>(d)), g(z.size());
  for (std::int32_t b = 0; b < table.block_count; ++b) {
    const Block& block = table.block[b];
    for (std::int64_t i = 0; i < block.rows; ++i)
      for (std::int64_t j = 0; j < block.cols; ++j) {
        const std::int64_t e = block.edge_offset + i * block.cols + j, target = block.target_offset + i,
                           source = block.source_offset + j;
        double mean = 0.0, variance = 0.0;
        for (std::int64_t k = 0; k < d; ++k) {
          double sum = projection(target, k) + projection(source, d + k);
          for (std::int64_t l = 0; l < d; ++l) sum += weight_c(k, l) * edge(e, l);
          z[static_cast<std::size_t>(k)] = sum;
          mean += sum / static_cast<double>(d);
        }
        for (double value : z) variance += (value - mean) * (value - mean) / static_cast<double>(d);
        for (std::int64_t k = 0; k < d; ++k) {
          const double normal = (z[static_cast<std::size_t>(k)] - mean) / std::sqrt(variance + 1e-5);
          const double x = modulation(block.network, k) * normal + modulation(block.network, d + k);
          const double gate = x / (1.0 + std::exp(-x));
          g[static_cast<std::size_t>(k)] = gate;
          aggregate(target, k) += gate * projection(source, 2 * d + k) / block.cols;
          aggregate(source, d + k) += gate * projection(target, 3 * d + k) / block.rows;
        }
        for (std::int64_t k = 0; k < d; ++k) {
          double sum = 0.0;
          for (std::int64_t l = 0; l < d; ++l) sum += weight_g(k, l) * g[static_cast<std::size_t>(l)];
          out(e, k) = edge(e, k) + modulation(block.network, 2 * d + k) * sum;
        }
      }
  }
  return {out.data, aggregate.data};
}

TEST_CASE("edge_update agrees with the formula, weight by weight") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const std::int64_t d = GENERATE(1, 8);
  const RandomBatch batch = test::random_batch(test::kRagged, Activation::relu, dtype, 3);
  const std::vector<Tensor> inputs = random_inputs(batch.table(), d);
  const test::OpRun run = test::run_op(inputs, dtype, program(batch.table()), {});
  const auto [edge, aggregate] = oracle(batch.table(), inputs);
  CHECK(test::close("edge_update", run.outputs[0], edge));
  CHECK(test::close("edge_update", run.outputs[1], aggregate));
}

TEST_CASE("edge_update may overwrite its states") {
  const RandomBatch batch = test::random_batch(test::kRagged, Activation::relu, DType::float32, 3);
  const auto [d, precision] =
      GENERATE(std::pair{8, kernels::Precision::float32}, std::pair{32, kernels::Precision::float32},
               std::pair{16, kernels::Precision::bf16});
  const std::vector<Tensor> in = random_inputs(batch.table(), d, DType::float32);
  const auto run = [&, how = precision](const Tensor& edge, const Tensor& edge_out) {
    Tensor aggregate({batch.table().node_count, 2 * in[0].view().extent(1)}, DType::float32);
    kernels::cpu::edge_update_forward({.table = batch.table(),
                                       .edge = edge,
                                       .projection = in[1],
                                       .weight_c = in[2],
                                       .weight_g = in[3],
                                       .modulation = in[4],
                                       .edge_out = edge_out,
                                       .aggregate = aggregate,
                                       .precision = how},
                                      Stream{});
    return test::values(aggregate);
  };
  const Tensor states = test::convert(in[0], DType::float32), apart(in[0].view().shape, DType::float32);
  CHECK(run(in[0], apart) == run(states, states));
  CHECK(test::same_bits(states, apart));
}

/// edge_out, aggregate and the gradients of edge, projection, weight_c, weight_g and modulation, of the CPU kernels.
std::vector<Tensor> run_kernels(const kernels::BlockTable& table, const std::vector<Tensor>& in,
                                const std::vector<Tensor>& grads, kernels::Precision precision, bool in_place = false) {
  std::vector<Tensor> out{Tensor(in[0].view().shape, DType::float32), Tensor(grads[1].view().shape, DType::float32)};
  for (const Tensor& x : in) out.emplace_back(x.view().shape, DType::float32);
  const kernels::EdgeUpdate forward{.table = table,
                                    .edge = in[0],
                                    .projection = in[1],
                                    .weight_c = in[2],
                                    .weight_g = in[3],
                                    .modulation = in[4],
                                    .edge_out = out[0],
                                    .aggregate = out[1],
                                    .precision = precision};
  kernels::cpu::edge_update_forward(forward, Stream{});
  if (in_place) out[2] = test::convert(grads[0], DType::float32);
  kernels::cpu::edge_update_backward({.forward = forward,
                                      .grad_edge_out = in_place ? out[2] : grads[0],
                                      .grad_aggregate = grads[1],
                                      .grad_edge = out[2],
                                      .grad_projection = out[3],
                                      .grad_weight_c = out[4],
                                      .grad_weight_g = out[5],
                                      .grad_modulation = out[6]},
                                     Stream{});
  return out;
}

TEST_CASE("edge_update may make the gradient of states in place") {
  const RandomBatch batch = test::random_batch(test::kRagged, Activation::relu, DType::float32, 3);
  const auto [d, precision] =
      GENERATE(std::pair{8, kernels::Precision::float32}, std::pair{32, kernels::Precision::float32},
               std::pair{16, kernels::Precision::bf16});
  const std::vector<Tensor> in = random_inputs(batch.table(), d, DType::float32),
                            grads = random_grads(batch.table(), d, DType::float32);
  const std::vector<Tensor> apart = run_kernels(batch.table(), in, grads, precision),
                            in_place = run_kernels(batch.table(), in, grads, precision, true);
  for (std::size_t i = 0; i < apart.size(); ++i) {
    INFO("output " << i);
    CHECK(test::values(in_place[i]) == test::values(apart[i]));
  }
}

TEST_CASE("edge_update after edge_update hands gradients on") {
  // Between two layers nobody else has reached the states: their gradient is made in place.
  const RandomBatch batch = test::random_batch(test::kRaggedSmall, Activation::relu, DType::float64, 3);
  const auto check = test::gradcheck(
      random_inputs(batch.table(), 3),
      [&](Tape& tape, const std::vector<Variable>& in) {
        const op::EdgeUpdateResult first = op::edge_update(tape, batch.table(), in[0], in[1], in[2], in[3], in[4]);
        return op::edge_update(tape, batch.table(), first.edge, in[1], in[3], in[2], in[4]).edge;
      },
      {.max_elements = 60});
  INFO(check.message);
  CHECK(check.ok);
}

TEST_CASE("edge_update of rounded operands stays near the exact one") {
  const auto [precision, entry] = GENERATE(std::pair{kernels::Precision::tf32, "edge_update_tf32"},
                                           std::pair{kernels::Precision::bf16, "edge_update_bf16"});
  const RandomBatch batch = test::random_batch(test::kRagged, Activation::relu, DType::float32, 3);
  const std::int64_t d = 64;
  std::vector<Tensor> in = random_inputs(batch.table(), d, DType::float32);
  for (std::size_t weight : {2u, 3u}) in[weight] = test::random_tensor({d, d}, DType::float32, weight, 0.2);
  // Steps that are too small for the gradient of alpha to divide by.
  float* alpha = in[4].as<float>() + 2 * d;
  alpha[0] = 0.0f;
  alpha[1] = -1e-25f;
  const std::vector<Tensor> grads = random_grads(batch.table(), d, DType::float32);
  const std::vector<Tensor> exact = run_kernels(batch.table(), in, grads, kernels::Precision::float32),
                            rounded = run_kernels(batch.table(), in, grads, precision);
  for (std::size_t i = 0; i < exact.size(); ++i) {
    const std::vector<double> want = test::values(exact[i]);
    const double error = test::largest_difference(test::values(rounded[i]), want), magnitude = test::largest(want);
    INFO("output " << i << ": error " << error / magnitude / 1.1920929e-7 << " epsilon");
    CHECK(error <= test::tolerance(entry, DType::float32, magnitude));
    CHECK(error >= 1e-5 * magnitude);  // something was rounded
  }
}

TEST_CASE("edge_update: states may be stored as bf16") {
  const RandomBatch batch = test::random_batch({{5, 7, 2}}, Activation::relu, DType::float32, 3);
  const std::int64_t d = GENERATE(1, 8, 32, 37);
  std::vector<Tensor> in = random_inputs(batch.table(), d, DType::float32);
  const Tensor narrow = test::convert(in[0], DType::bfloat16), narrow_out(in[0].view().shape, DType::bfloat16),
               aggregate({batch.table().node_count, 2 * d}, DType::float32);
  in[0] = test::convert(narrow, DType::float32);
  const kernels::EdgeUpdate args{.table = batch.table(),
                                 .edge = narrow,
                                 .projection = in[1],
                                 .weight_c = in[2],
                                 .weight_g = in[3],
                                 .modulation = in[4],
                                 .edge_out = narrow_out,
                                 .aggregate = aggregate,
                                 .precision = kernels::Precision::bf16};
  kernels::cpu::edge_update_forward(args, Stream{});
  const std::vector<Tensor> wide =
      run_kernels(batch.table(), in, random_grads(batch.table(), d, DType::float32), kernels::Precision::bf16);
  CHECK(test::same_bits(narrow_out, test::convert(wide[0], DType::bfloat16)));
  CHECK(test::same_bits(aggregate, wide[1]));

  const auto error_of_forward = [&](kernels::EdgeUpdate changed) {
    return test::error_of([&] { kernels::cpu::edge_update_forward(changed, Stream{}); });
  };
  kernels::EdgeUpdate changed = args;
  changed.precision = kernels::Precision::float32;
  CHECK_THAT(error_of_forward(changed), Catch::Contains("expected precision bf16 with bfloat16 edges"));
  kernels::EdgeUpdateGradient gradient;
  gradient.forward = args;
  CHECK_THAT(test::error_of([&] { kernels::cpu::edge_update_backward(gradient, Stream{}); }),
             Catch::Contains("expected float32 edges in a backward pass"));
}

TEST_CASE("edge_update has the gradients of finite differences") {
  const RandomBatch batch = test::random_batch(test::kRaggedSmall, Activation::relu, DType::float64, 5);
  const std::vector<Tensor> inputs = random_inputs(batch.table(), 4);
  // Each result alone: the gradient of the other one is absent then.
  for (int which : {0, 1, 2}) {
    const auto check = test::gradcheck(inputs, [&](Tape& tape, const std::vector<Variable>& in) {
      const std::vector<Variable> results = program(batch.table())(tape, in);
      return which < 2 ? results[static_cast<std::size_t>(which)] : test::project(tape, results, 11);
    });
    INFO("result " << which << ": " << check.message);
    CHECK(check.ok);
  }
}

TEST_CASE("edge_update has the gradients of finite differences across chunks") {
  const RandomBatch batch = test::random_batch({{5, 90, 70, 2}}, Activation::relu, DType::float64, 5);
  const auto check = test::gradcheck(random_inputs(batch.table(), 3),
                                     [&](Tape& tape, const std::vector<Variable>& in) {
                                       return test::project(tape, program(batch.table())(tape, in), 11);
                                     },
                                     {.max_elements = 12});
  INFO(check.message);
  CHECK(check.ok);
}

TEST_CASE("edge_update in float32 has the gradients of float64") {
  const RandomBatch batch = test::random_batch(test::kRagged, Activation::relu, DType::float64, 3);
  const std::vector<Tensor> inputs = random_inputs(batch.table(), 8), grads = random_grads(batch.table(), 8);
  const auto run = [&](DType dtype) { return test::run_op(inputs, dtype, program(batch.table()), grads); };
  CHECK(test::gradients_close("edge_update", run(DType::float32), run(DType::float64)));
}

TEST_CASE("edge_update: a network has the same bits alone, in a batch and for any number of threads") {
  const auto [type, how] = GENERATE(
      std::pair{DType::float32, kernels::Precision::float32}, std::pair{DType::float64, kernels::Precision::float32},
      std::pair{DType::float32, kernels::Precision::tf32}, std::pair{DType::float32, kernels::Precision::bf16});
  const DType dtype = type;
  const kernels::Precision precision = how;
  const std::int64_t d = 8;
  const RandomBatch batch = test::random_batch(test::kRagged, Activation::relu, dtype, 3);
  const std::vector<Tensor> in = random_inputs(batch.table(), d), grads = random_grads(batch.table(), d);
  test::OpRun all;
  {
    const test::ThreadCount one(1);
    all = test::run_op(in, dtype, program(batch.table(), precision), grads);
  }
  for (int threads : {2, 3}) {
    const test::ThreadCount several(threads);
    CHECK(test::same_bits(all, test::run_op(in, dtype, program(batch.table(), precision), grads)));
  }
  for (std::int64_t b = 0; b < batch.table().network_count; ++b) {
    const kernels::Network& network = batch.table().network[b];
    const RandomBatch alone = test::make_batch({batch.networks[static_cast<std::size_t>(b)]}, dtype);
    const auto edges = [&](const Tensor& x) { return slice_rows(x, network.edge_offset, network.edge_count); };
    const auto nodes = [&](const Tensor& x) { return slice_rows(x, network.node_offset, network.node_count); };
    const auto own = [](const TensorView& x) { return test::convert(x, x.dtype); };
    const test::OpRun single =
        test::run_op({own(edges(in[0])), own(nodes(in[1])), in[2], in[3], own(slice_rows(in[4], b, 1))}, dtype,
                     program(alone.table(), precision), {own(edges(grads[0])), own(nodes(grads[1]))});
    CHECK(test::same_bits(single.outputs[0], edges(all.outputs[0])));
    CHECK(test::same_bits(single.outputs[1], nodes(all.outputs[1])));
    CHECK(test::same_bits(single.gradients[0], edges(all.gradients[0])));
    CHECK(test::same_bits(single.gradients[1], nodes(all.gradients[1])));
    CHECK(test::same_bits(single.gradients[4], slice_rows(all.gradients[4], b, 1)));
  }
}

/// Where every node goes when the hidden layers of all networks are reversed.
std::vector<std::int64_t> reversed_nodes(const kernels::BlockTable& table) {
  std::vector<std::int64_t> to(static_cast<std::size_t>(table.node_count));
  std::iota(to.begin(), to.end(), std::int64_t{0});
  for (std::int32_t b = 0; b < table.block_count; ++b) {
    const Block& block = table.block[b];
    if (block.kind == kernels::BlockKind::last) continue;
    for (std::int64_t i = 0; i < block.rows; ++i)
      to[static_cast<std::size_t>(block.target_offset + i)] = block.target_offset + block.rows - 1 - i;
  }
  return to;
}

/// Where every edge goes when nodes go to `node`.
std::vector<std::int64_t> moved_edges(const kernels::BlockTable& table, const std::vector<std::int64_t>& node) {
  std::vector<std::int64_t> to(static_cast<std::size_t>(table.edge_count));
  for (std::int32_t b = 0; b < table.block_count; ++b) {
    const Block& block = table.block[b];
    for (std::int64_t i = 0; i < block.rows; ++i)
      for (std::int64_t j = 0; j < block.cols; ++j)
        to[static_cast<std::size_t>(block.edge_offset + i * block.cols + j)] =
            block.edge_offset +
            (node[static_cast<std::size_t>(block.target_offset + i)] - block.target_offset) * block.cols +
            node[static_cast<std::size_t>(block.source_offset + j)] - block.source_offset;
  }
  return to;
}

Tensor move_rows(const TensorView& x, const std::vector<std::int64_t>& to) {
  const test::Matrix from(x);
  test::Matrix result(x.extent(0), from.width);
  for (std::int64_t row = 0; row < x.extent(0); ++row)
    for (std::int64_t k = 0; k < from.width; ++k) result(to[static_cast<std::size_t>(row)], k) = from(row, k);
  return test::make_tensor(x.shape, x.dtype, result.data);
}

TEST_CASE("edge_update: permuted hidden neurons give permuted results and gradients") {
  const std::int64_t d = 8;
  const RandomBatch batch = test::random_batch(test::kRagged, Activation::relu, DType::float64, 3);
  const auto node = reversed_nodes(batch.table()), edge = moved_edges(batch.table(), node);
  const std::vector<Tensor> in = random_inputs(batch.table(), d), grads = random_grads(batch.table(), d);
  const test::OpRun plain = test::run_op(in, DType::float64, program(batch.table()), grads);
  const test::OpRun moved =
      test::run_op({move_rows(in[0], edge), move_rows(in[1], node), in[2], in[3], in[4]}, DType::float64,
                   program(batch.table()), {move_rows(grads[0], edge), move_rows(grads[1], node)});
  CHECK(test::close("edge_update", moved.outputs[0], test::values(move_rows(plain.outputs[0], edge))));
  CHECK(test::close("edge_update", moved.outputs[1], test::values(move_rows(plain.outputs[1], node))));
  CHECK(test::close("edge_update", moved.gradients[0], test::values(move_rows(plain.gradients[0], edge))));
  CHECK(test::close("edge_update", moved.gradients[1], test::values(move_rows(plain.gradients[1], node))));
  for (std::size_t shared : {2u, 3u, 4u})
    CHECK(test::close("edge_update", moved.gradients[shared], test::values(plain.gradients[shared])));
}

TEST_CASE("edge_update: no networks, and mistakes name the argument") {
  const RandomBatch none = test::make_batch({}, DType::float32);
  const test::OpRun empty = test::run_op(random_inputs(none.table(), 4), DType::float32, program(none.table()),
                                         random_grads(none.table(), 4));
  CHECK(empty.outputs[0].count() == 0);
  CHECK(test::largest(test::values(empty.gradients[2])) == 0.0);

  const RandomBatch batch = test::random_batch({{3, 4, 2}}, Activation::relu, DType::float32, 1);
  const auto error_with = [&](std::size_t index, Shape shape, DType dtype) {
    std::vector<Tensor> in = random_inputs(batch.table(), 4, DType::float32);
    in[index] = Tensor(shape, dtype);
    return test::error_of_constants(in, program(batch.table()));
  };
  CHECK_THAT(error_with(1, {9, 15}, DType::float32),
             Catch::StartsWith("[edge_update] expected `projection` of shape (9, 16), got (9, 15)"));
  CHECK_THAT(error_with(2, {4, 5}, DType::float32), Catch::Contains("`weight_c`"));
  CHECK_THAT(error_with(3, {4, 4}, DType::float64), Catch::Contains("`weight_g` of float32, got float64"));
  CHECK_THAT(error_with(4, {2, 12}, DType::float32), Catch::Contains("`modulation`"));
  CHECK_THAT(error_with(0, {19, 4}, DType::float32), Catch::Contains("`edge`"));
}

}  // namespace
}  // namespace amend
