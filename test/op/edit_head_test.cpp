#include "autograd/op/edit_head.hpp"

#include <catch2/catch.hpp>
#include <cmath>

#include "autograd/op/reduce.hpp"
#include "kernels/fill.hpp"
#include "test/support/gradcheck.hpp"
#include "test/support/op_run.hpp"
#include "test/support/random_features.hpp"
#include "test/support/tolerance.hpp"

namespace amend {
namespace {

using kernels::Block;
using test::RandomBatch;

constexpr std::int64_t kHidden = 6, kOutputs = 3, kEdge = 5, kEdge2 = 4;

/// Which of the optional inputs there are.
struct Options {
  bool edge2, mix;
};

/// edge, weight, projection, kind_bias, head, head_bias[, edge2, weight2][, mix].
std::vector<Tensor> random_inputs(const kernels::BlockTable& table, Options options) {
  auto random = [seed = std::uint64_t{10}](Shape shape) mutable {
    return test::random_tensor(shape, DType::float64, seed++, 0.6, 0.1);
  };
  std::vector<Tensor> in = {random({table.edge_count, kEdge}),
                            random({kHidden, kEdge}),
                            random({table.node_count, 2 * kHidden}),
                            random({kernels::kBlockKinds, kHidden}),
                            random({kernels::kBlockKinds, kOutputs, kHidden}),
                            random({kernels::kBlockKinds, kOutputs})};
  if (options.edge2) in.push_back(random({table.edge_count, kEdge2}));
  if (options.edge2) in.push_back(random({kHidden, kEdge2}));
  if (options.mix) in.push_back(random({kHidden, kHidden}));
  return in;
}

test::TapeProgram program(const kernels::BlockTable& table, Options options) {
  return [&table, options](Tape& tape, const std::vector<Variable>& in) -> std::vector<Variable> {
    op::EditHeadInputs inputs{.edge = {.rows = in[0]},
                              .weight = in[1],
                              .projection = in[2],
                              .kind_bias = in[3],
                              .head = in[4],
                              .head_bias = in[5]};
    if (options.edge2) inputs.edge2.rows = in[6];
    if (options.edge2) inputs.weight2 = in[7];
    if (options.mix) inputs.mix = in.back();
    return {op::edit_head(tape, table, inputs)};
  };
}

double relu(double x) { return x > 0.0 ? x : 0.0; }

std::vector<double> oracle(const kernels::BlockTable& table, const std::vector<Tensor>& in, Options options) {
  const test::Matrix edge(in[0]), weight(in[1]), projection(in[2]), kind_bias(in[3]), head(in[4]), head_bias(in[5]);
  const test::Matrix edge2(in[options.edge2 ? 6 : 0]), weight2(in[options.edge2 ? 7 : 1]), mix(in.back());
  test::Matrix out(table.edge_count, kOutputs);
  for (std::int32_t b = 0; b < table.block_count; ++b) {
    const Block& block = table.block[b];
    const auto kind = static_cast<std::int64_t>(block.kind);
    for (std::int64_t i = 0; i < block.rows; ++i)
      for (std::int64_t j = 0; j < block.cols; ++j) {
        const std::int64_t e = block.edge_offset + i * block.cols + j;
        std::vector<double> h(kHidden);
        for (std::int64_t k = 0; k < kHidden; ++k) {
          double sum = projection(block.target_offset + i, k) + projection(block.source_offset + j, kHidden + k) +
                       kind_bias(kind, k);
          for (std::int64_t l = 0; l < kEdge; ++l) sum += weight(k, l) * edge(e, l);
          if (options.edge2)
            for (std::int64_t l = 0; l < kEdge2; ++l) sum += weight2(k, l) * edge2(e, l);
          h[static_cast<std::size_t>(k)] = relu(sum);
        }
        if (options.mix) {
          const std::vector<double> first = h;
          for (std::int64_t k = 0; k < kHidden; ++k) {
            double sum = 0.0;
            for (std::int64_t l = 0; l < kHidden; ++l) sum += mix(k, l) * first[static_cast<std::size_t>(l)];
            h[static_cast<std::size_t>(k)] = relu(sum);
          }
        }
        for (std::int64_t o = 0; o < kOutputs; ++o) {
          out(e, o) = head_bias(kind, o);
          for (std::int64_t k = 0; k < kHidden; ++k)
            out(e, o) += head(kind * kOutputs + o, k) * h[static_cast<std::size_t>(k)];
        }
      }
  }
  return out.data;
}

TEST_CASE("edit_head agrees with the formula, weight by weight") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const Options options{GENERATE(false, true), GENERATE(false, true)};
  const RandomBatch batch = test::random_batch(test::kRagged, Activation::relu, dtype, 3);
  const std::vector<Tensor> inputs = random_inputs(batch.table(), options);
  const test::OpRun run = test::run_op(inputs, dtype, program(batch.table(), options), {});
  CHECK(test::close("edit_head", run.outputs[0], oracle(batch.table(), inputs, options)));
}

TEST_CASE("edit_head has the gradients of finite differences") {
  const Options options{GENERATE(false, true), GENERATE(false, true)};
  const bool large = GENERATE(false, true);
  const RandomBatch batch = test::random_batch(
      large ? std::vector<std::vector<int>>{{5, 90, 30, 2}} : test::kRaggedSmall, Activation::relu, DType::float64, 5);
  std::vector<Tensor> in = random_inputs(batch.table(), options);
  // Among thousands of weights some would cross the kink within a step: here all hidden units stay open.
  if (large) {
    for (std::int64_t i = 0; i < in[3].count(); ++i) in[3].as<double>()[i] += 8.0;
    if (options.mix)
      for (std::int64_t i = 0; i < kHidden * kHidden; ++i)
        in.back().as<double>()[i] = std::fabs(in.back().as<double>()[i]);
  }
  const auto check = test::gradcheck(
      in,
      [&](Tape& tape, const std::vector<Variable>& leaves) { return program(batch.table(), options)(tape, leaves)[0]; },
      {.max_elements = large ? 12 : 200, .step = large ? 1e-4 : 1e-6});
  INFO(check.message);
  CHECK(check.ok);
}

TEST_CASE("edit_head takes constant edge features") {
  const RandomBatch batch = test::random_batch(test::kRaggedSmall, Activation::relu, DType::float64, 5);
  const Options options{true, true};
  std::vector<Tensor> in = random_inputs(batch.table(), options);
  const auto full = test::run_op(in, DType::float64, program(batch.table(), options),
                                 {test::random_tensor({batch.table().edge_count, kOutputs}, DType::float64, 2)});
  const test::TapeProgram detached = [&](Tape& tape, const std::vector<Variable>& leaves) {
    std::vector<Variable> mixed = leaves;
    mixed[0] = tape.detach(leaves[0]);
    mixed[6] = tape.detach(leaves[6]);
    return program(batch.table(), options)(tape, mixed);
  };
  const auto part = test::run_op(in, DType::float64, detached,
                                 {test::random_tensor({batch.table().edge_count, kOutputs}, DType::float64, 2)});
  for (std::size_t i = 0; i < in.size(); ++i) {
    if (i == 0 || i == 6)
      CHECK(test::largest(test::values(part.gradients[i])) == 0.0);
    else
      CHECK(test::same_bits(part.gradients[i], full.gradients[i]));
  }
}

TEST_CASE("edit_head has the same bits of features that it forms and of the same features as rows") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const std::int64_t objectives = GENERATE(1, 2);
  const bool gradient = objectives == 2;
  const RandomBatch batch = test::random_batch(test::kRagged, Activation::relu, dtype, 3);
  const kernels::BlockTable& t = batch.table();
  const test::RandomFeatures features(t, dtype, objectives, gradient);
  auto random = [dtype, seed = std::uint64_t{40}](Shape shape) mutable {
    return test::random_tensor(shape, dtype, seed++, 0.6, 0.1);
  };
  const std::int64_t d = kernels::kEdgeFeatures, d2 = kernels::refine_edge_features(objectives);
  const std::vector<Tensor> in = {random({kHidden, d}),
                                  random({t.node_count, 2 * kHidden}),
                                  random({kernels::kBlockKinds, kHidden}),
                                  random({kernels::kBlockKinds, kOutputs, kHidden}),
                                  random({kernels::kBlockKinds, kOutputs}),
                                  random({kHidden, d2}),
                                  random({kHidden, kHidden})};
  const auto run = [&](const kernels::EdgeInput& edge, const kernels::EdgeInput& edge2) {
    const test::TapeProgram head = [&](Tape& tape, const std::vector<Variable>& leaf) -> std::vector<Variable> {
      return {op::edit_head(tape, t,
                            {.edge = {.features = edge},
                             .weight = leaf[0],
                             .edge2 = {.features = edge2},
                             .weight2 = leaf[5],
                             .projection = leaf[1],
                             .kind_bias = leaf[2],
                             .mix = leaf[6],
                             .head = leaf[3],
                             .head_bias = leaf[4]})};
    };
    return test::run_op(in, dtype, head, {test::random_tensor({t.edge_count, kOutputs}, dtype, 2)});
  };
  const Tensor first = features.rows(features.first()), refine = features.rows(features.refine());
  const test::OpRun formed = run(features.first(), features.refine());
  CHECK(test::largest(test::values(formed.outputs[0])) > 0.1);
  CHECK(test::same_bits(formed, run({.rows = first}, {.rows = refine})));
  CHECK(test::same_bits(formed, run(features.first(), {.rows = refine})));
}

TEST_CASE("edit_head writes or adds to the gradient of rows") {
  // Of an intermediate that nothing has reached it is written, by the second head added to; of a leaf always added to.
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const RandomBatch batch = test::random_batch(test::kRagged, Activation::relu, dtype, 3);
  const Options options{false, true};
  const std::vector<Tensor> in = random_inputs(batch.table(), options);
  const Tensor zeros({batch.table().edge_count, kEdge}, dtype);
  const auto heads = [&](bool intermediate) -> test::TapeProgram {
    return [&batch, &zeros, options, intermediate](Tape& tape, const std::vector<Variable>& leaves) {
      std::vector<Variable> mixed = leaves;
      if (intermediate) mixed[0] = op::add(tape, leaves[0], tape.constant(zeros));
      const test::TapeProgram head = program(batch.table(), options);
      const std::vector<Variable> out{head(tape, mixed)[0], head(tape, mixed)[0]};
      // What is not written is found to be no number.
      const Arena::Mark mark = tape.arena().mark();
      kernels::fill({.y = tape.arena().tensor({1 << 16}, leaves[0].dtype()), .value = std::nan("")}, tape.stream());
      tape.arena().rewind(mark);
      return out;
    };
  };
  const std::vector<Tensor> grads{test::random_tensor({batch.table().edge_count, kOutputs}, dtype, 2),
                                  test::random_tensor({batch.table().edge_count, kOutputs}, dtype, 3)};
  const test::OpRun written = test::run_op(in, dtype, heads(true), grads),
                    added = test::run_op(in, dtype, heads(false), grads);
  for (std::size_t i = 0; i < in.size(); ++i) {
    INFO("input " << i);
    CHECK(test::values(written.gradients[i]) == test::values(added.gradients[i]));
  }
}

TEST_CASE("edit_head reads rows of bfloat16 as the numbers they are") {
  const RandomBatch batch = test::random_batch(test::kRagged, Activation::relu, DType::float32, 3);
  const kernels::BlockTable& t = batch.table();
  const Options options{true, true};
  const std::vector<Tensor> in = random_inputs(t, options);
  std::vector<Tensor> narrow, own;
  for (const Tensor& x : in) own.push_back(test::convert(x, DType::float32));
  for (std::size_t i : {0u, 6u}) {
    narrow.push_back(test::convert(in[i], DType::bfloat16));
    own[i] = test::convert(narrow.back(), DType::float32);
  }
  const auto run = [&](const Tensor& edge, const Tensor& edge2, bool backward) {
    const Tensor out({t.edge_count, kOutputs}, DType::float32);
    const kernels::EditHead head{.table = t,
                                 .edge = {.rows = edge},
                                 .weight = own[1],
                                 .edge2 = {.rows = edge2},
                                 .weight2 = own[7],
                                 .projection = own[2],
                                 .kind_bias = own[3],
                                 .mix = own[8],
                                 .head = own[4],
                                 .head_bias = own[5],
                                 .out = out};
    if (backward)
      kernels::edit_head_backward({.forward = head, .grad_out = out}, Stream{});
    else
      kernels::edit_head_forward(head, Stream{});
    return out;
  };
  CHECK(test::same_bits(run(narrow[0], narrow[1], false), run(own[0], own[6], false)));
  CHECK_THAT(test::error_of([&] { run(narrow[0], own[6], true); }), Catch::Contains("expected float32 rows"));
}

TEST_CASE("edit_head in float32 has the gradients of float64") {
  const RandomBatch batch = test::random_batch(test::kRagged, Activation::relu, DType::float64, 3);
  const Options options{true, true};
  const std::vector<Tensor> in = random_inputs(batch.table(), options);
  const Tensor grad = test::random_tensor({batch.table().edge_count, kOutputs}, DType::float64, 2);
  const auto run = [&](DType dtype) { return test::run_op(in, dtype, program(batch.table(), options), {grad}); };
  CHECK(test::gradients_close("edit_head", run(DType::float32), run(DType::float64)));
}

TEST_CASE("edit_head: a network has the same bits alone, in a batch and for any number of threads") {
  const DType dtype = GENERATE(DType::float32, DType::float64);
  const Options options{true, true};
  const RandomBatch batch = test::random_batch(test::kRagged, Activation::relu, dtype, 3);
  const std::vector<Tensor> in = random_inputs(batch.table(), options);
  const Tensor grad = test::random_tensor({batch.table().edge_count, kOutputs}, dtype, 2);
  test::OpRun all;
  {
    const test::ThreadCount one(1);
    all = test::run_op(in, dtype, program(batch.table(), options), {grad});
  }
  for (int threads : {2, 3}) {
    const test::ThreadCount several(threads);
    CHECK(test::same_bits(all, test::run_op(in, dtype, program(batch.table(), options), {grad})));
  }
  for (std::int64_t b = 0; b < batch.table().network_count; ++b) {
    const kernels::Network& network = batch.table().network[b];
    const RandomBatch alone = test::make_batch({batch.networks[static_cast<std::size_t>(b)]}, dtype);
    const auto edges = [&](const Tensor& x) { return slice_rows(x, network.edge_offset, network.edge_count); };
    const auto nodes = [&](const Tensor& x) { return slice_rows(x, network.node_offset, network.node_count); };
    std::vector<Tensor> own = in;
    own[0] = test::convert(edges(in[0]), dtype);
    own[2] = test::convert(nodes(in[2]), dtype);
    own[6] = test::convert(edges(in[6]), dtype);
    const test::OpRun single =
        test::run_op(own, dtype, program(alone.table(), options), {test::convert(edges(grad), dtype)});
    CHECK(test::same_bits(single.outputs[0], edges(all.outputs[0])));
    CHECK(test::same_bits(single.gradients[0], edges(all.gradients[0])));
    CHECK(test::same_bits(single.gradients[2], nodes(all.gradients[2])));
    CHECK(test::same_bits(single.gradients[6], edges(all.gradients[6])));
  }
}

TEST_CASE("edit_head: no networks, and mistakes name the argument") {
  const RandomBatch none = test::make_batch({}, DType::float64);
  const test::OpRun empty = test::run_op(random_inputs(none.table(), {true, true}), DType::float64,
                                         program(none.table(), {true, true}), {Tensor({0, kOutputs}, DType::float64)});
  CHECK(empty.outputs[0].count() == 0);
  CHECK(test::largest(test::values(empty.gradients[1])) == 0.0);

  const RandomBatch batch = test::random_batch({{3, 4, 2}}, Activation::relu, DType::float64, 1);
  const char* names[] = {"edge", "weight", "projection", "kind_bias", "head", "head_bias", "edge2", "weight2", "mix"};
  // `edge` and `head` set the widths: what no longer fits them is named.
  const char* blamed[] = {"weight",    "weight",  "projection", "kind_bias", "head",
                          "head_bias", "weight2", "weight2",    "mix"};
  for (std::size_t i = 0; i < 9; ++i) {
    std::vector<Tensor> in = random_inputs(batch.table(), {true, true});
    Shape shape = in[i].view().shape;
    shape = shape.rank() == 3 ? Shape{shape[0], shape[1], shape[2] + 1} : Shape{shape[0], shape[1] + 1};
    in[i] = Tensor(shape, DType::float64);
    INFO(names[i]);
    CHECK_THAT(test::error_of([&] {
                 test::run_op(in, DType::float64, program(batch.table(), {true, true}), {});
               }),
               Catch::Contains("[edit_head] expected `" + std::string(blamed[i]) + "` of shape"));
  }
}

}  // namespace
}  // namespace amend
