#include "kernels/edit_head.hpp"

#include "test/support/random_features.hpp"
#include "test/support/twins.hpp"

AMEND_TWINS(edit_head_forward, EditHead)
AMEND_TWINS(edit_head_backward, EditHeadGradient)

namespace amend::test {
namespace {

/// Widths of a head, and which of the optional arguments there are.
struct HeadCase {
  std::int64_t d, d2, hidden, outputs;  // d2 = 0: no second edge tensor
  bool mix, edge_gradient;
  bool fresh_edge = false;  // the gradient of `edge` is written, not added to
};

/// Part of a batch: what starts at this edge and node of it.
struct Part {
  std::int64_t edge = 0, node = 0;
};

/// out, the gradients of edge, edge2 and projection, and those of weight, kind_bias, head, head_bias, weight2, mix.
std::vector<Tensor> run(Twin twin, const kernels::BlockTable& table, const kernels::BlockTable& batch,
                        const HeadCase& c, DType dtype, Part part = {}) {
  const std::int64_t h = c.hidden, o = c.outputs, kinds = kernels::kBlockKinds, edges = table.edge_count;
  const auto of_edges = [&](std::int64_t width, std::uint64_t seed) {
    return convert(slice_rows(random_tensor({batch.edge_count, width}, dtype, seed), part.edge, edges), dtype);
  };
  const auto of_nodes = [&](std::int64_t width, std::uint64_t seed) {
    return convert(slice_rows(random_tensor({batch.node_count, width}, dtype, seed), part.node, table.node_count),
                   dtype);
  };
  const auto weights = [&](Shape shape, std::uint64_t seed) { return random_tensor(shape, dtype, seed, 0.3); };
  const auto when = [](bool there, const Tensor& x) { return there ? x.view() : TensorView{}; };
  const Tensor edge = of_edges(c.d, 1), edge2 = of_edges(c.d2, 2), projection = of_nodes(2 * h, 3),
               grad_out = of_edges(o, 4), weight = weights({h, c.d}, 5), weight2 = weights({h, c.d2}, 6),
               kind_bias = weights({kinds, h}, 7), mix = weights({h, h}, 8), head = weights({kinds, o, h}, 9),
               head_bias = weights({kinds, o}, 10), out = unset({edges, o}, dtype);
  // Gradients are added to what is there.
  const Tensor grad_edge = of_edges(c.d, 11), grad_edge2 = of_edges(c.d2, 12), grad_projection = of_nodes(2 * h, 13),
               grad_weight = weights({h, c.d}, 14), grad_weight2 = weights({h, c.d2}, 15),
               grad_kind_bias = weights({kinds, h}, 16), grad_mix = weights({h, h}, 17),
               grad_head = weights({kinds, o, h}, 18), grad_head_bias = weights({kinds, o}, 19);
  const kernels::EditHead forward{.table = table,
                                  .edge = {.rows = edge},
                                  .weight = weight,
                                  .edge2 = {.rows = when(c.d2 > 0, edge2)},
                                  .weight2 = when(c.d2 > 0, weight2),
                                  .projection = projection,
                                  .kind_bias = kind_bias,
                                  .mix = when(c.mix, mix),
                                  .head = head,
                                  .head_bias = head_bias,
                                  .out = out};
  twins::edit_head_forward(twin, forward);
  twins::edit_head_backward(twin, {.forward = forward,
                                   .grad_out = grad_out,
                                   .grad_edge = when(c.edge_gradient, grad_edge),
                                   .fresh_edge = c.fresh_edge,
                                   .grad_weight = grad_weight,
                                   .grad_edge2 = when(c.edge_gradient && c.d2 > 0 && !c.mix, grad_edge2),
                                   .grad_weight2 = when(c.d2 > 0, grad_weight2),
                                   .grad_projection = grad_projection,
                                   .grad_kind_bias = grad_kind_bias,
                                   .grad_mix = when(c.mix, grad_mix),
                                   .grad_head = grad_head,
                                   .grad_head_bias = grad_head_bias});
  return {out,       grad_edge,      grad_edge2,   grad_projection, grad_weight, grad_kind_bias,
          grad_head, grad_head_bias, grad_weight2, grad_mix};
}

const std::vector<std::vector<int>> kSmall = {{5, 1, 1, 2}, {5, 2}, {5, 7, 4, 3, 2}};

/// Both passes, and the same bits for the networks of `alone` without the others.
void check_head(const std::vector<std::vector<int>>& widths, const HeadCase& c, DType dtype,
                const std::vector<std::size_t>& alone) {
  const RandomBatch batch = random_batch(widths, Activation::relu, dtype, 1);
  const std::vector<Tensor> got =
      compare_twins("edit_head", [&](Twin twin) { return run(twin, batch.table(), batch.table(), c, dtype); });
  for (std::size_t n : alone) {
    const kernels::Network& network = batch.table().network[n];
    const RandomBatch one = make_batch({batch.networks[n]}, dtype);
    const std::vector<Tensor> own =
        run(Twin::cuda, one.table(), batch.table(), c, dtype, {network.edge_offset, network.node_offset});
    for (std::size_t i : {0u, 1u, 2u})
      CHECK(same_bits(own[i], slice_rows(got[i], network.edge_offset, network.edge_count)));
    CHECK(same_bits(own[3], slice_rows(got[3], network.node_offset, network.node_count)));
  }
}

TEST_CASE("cuda edit_head") {
  // A block of two items behind small ones.
  check_head({{5, 1, 1, 2}, {5, 2}, {5, 7, 4, 3, 2}, {5, 47, 45, 2}}, {15, 9, 16, 3, true, false}, DType::float32, {3});
}

TEST_CASE("cuda edit_head with and without its optional arguments") {
  const HeadCase c = GENERATE(HeadCase{15, 0, 32, 2, false, false},  // the first pass without messages
                              HeadCase{8, 4, 6, 3, false, true},     // whole quads of inputs, ragged hidden units
                              HeadCase{16, 13, 24, 5, true, true},   // refinement after messages
                              HeadCase{16, 13, 24, 5, true, true, true});
  check_head(kSmall, c, DType::float32, {0, 2});
  check_head(kSmall, c, DType::float64, {2});
}

TEST_CASE("cuda edit_head of more hidden units than a thread has in registers") {
  check_head({{3, 9, 2}}, {20, 3, 70, 2, true, true}, DType::float32, {});
}

TEST_CASE("cuda edit_head of weights that do not fit into shared memory", "[slow]") {
  const emulation::SharedBytes shared(GENERATE(emulation::SharedBytes::kLeast, emulation::SharedBytes::kMost));
  check_head({{3, 2}}, {128, 17, 128, 5, true, true}, DType::float32, {});  // the widest refinement
  check_head({{3, 2}}, {128, 0, 416, 2, false, true}, DType::float32, {});
  check_head({{3, 2}}, {64, 13, 64, 5, false, true}, DType::float64, {});
}

TEST_CASE("cuda edit_head with less shared memory") {
  // A block of two items and blocks of one: sums over the columns of both kinds move to memory.
  const RandomBatch batch = random_batch({{5, 47, 45, 2}, {5, 1, 1, 2}}, Activation::relu, DType::float32, 1);
  const auto with = [&](const HeadCase& c, std::size_t bytes) {
    const emulation::SharedBytes shared(bytes);
    return run(Twin::cuda, batch.table(), batch.table(), c, DType::float32);
  };
  const auto check = [&](const HeadCase& c, std::size_t bytes) {
    INFO(c.d << " inputs, " << c.hidden << " hidden units, " << bytes << " bytes");
    const std::vector<Tensor> roomy = with(c, emulation::SharedBytes::kMost), tight = with(c, bytes);
    for (std::size_t i = 0; i < roomy.size(); ++i) {
      INFO("output " << i);
      CHECK(same_bits(tight[i], roomy[i]));
    }
  };
  check({32, 13, 32, 5, true, true}, emulation::SharedBytes::kLeast);  // sums in memory
  check({64, 9, 16, 3, true, true}, 64 << 10);                         // and matrices
}

TEST_CASE("cuda edit_head of more than a thread block has room for") {
  const RandomBatch batch = random_batch({{3, 2}}, Activation::relu, DType::float32, 1);
  const HeadCase c{128, 13, 512, 5, true, false};
  if (!twin_device().is_cuda())
    CHECK_THROWS_WITH(run(Twin::cuda, batch.table(), batch.table(), c, DType::float32),
                      Catch::Contains("rows of 141 inputs and 512 hidden units need"));
}

TEST_CASE("cuda edit_head of more columns than fit into shared memory") {
  const bool one_item = GENERATE(true, false);
  const std::vector<int> wide = one_item ? std::vector<int>{420, 2} : std::vector<int>{420, 18, 2};
  check_head({wide, {420, 1, 2}}, {3, 0, 16, 2, false, false}, DType::float32, {1});
}

TEST_CASE("cuda edit_head of features that it forms") {
  const bool both = GENERATE(false, true);  // of the first pass alone, or of a refinement, too
  const DType dtype = DType::float32;
  const RandomBatch batch = random_batch({{5, 1, 1, 2}, {5, 2}, {5, 47, 45, 2}}, Activation::relu, dtype, 1);
  const kernels::BlockTable& t = batch.table();
  const RandomFeatures features(t, dtype, 2, both);
  const kernels::EdgeInput first = features.first(), refine = both ? features.refine() : kernels::EdgeInput{};
  const std::int64_t h = 16, o = 3, kinds = kernels::kBlockKinds, d = first.width(), d2 = refine.width();
  const auto weights = [&](Shape shape, std::uint64_t seed) { return random_tensor(shape, dtype, seed, 0.3); };
  const Tensor projection = weights({t.node_count, 2 * h}, 1), weight = weights({h, d}, 2),
               weight2 = weights({h, d2}, 3), kind_bias = weights({kinds, h}, 4), mix = weights({h, h}, 5),
               head = weights({kinds, o, h}, 6), head_bias = weights({kinds, o}, 7),
               grad_out = weights({t.edge_count, o}, 8);
  const auto when = [&](const Tensor& x) { return both ? x.view() : TensorView{}; };
  const auto run_on = [&](Twin twin, const kernels::EdgeInput& edge, const kernels::EdgeInput& edge2) {
    const std::vector<Tensor> out = {unset({t.edge_count, o}, dtype), Tensor({t.node_count, 2 * h}, dtype),
                                     Tensor({h, d}, dtype),           Tensor({h, d2}, dtype),
                                     Tensor({kinds, h}, dtype),       Tensor({h, h}, dtype),
                                     Tensor({kinds, o, h}, dtype),    Tensor({kinds, o}, dtype)};
    const kernels::EditHead forward{.table = t,
                                    .edge = edge,
                                    .weight = weight,
                                    .edge2 = edge2,
                                    .weight2 = when(weight2),
                                    .projection = projection,
                                    .kind_bias = kind_bias,
                                    .mix = when(mix),
                                    .head = head,
                                    .head_bias = head_bias,
                                    .out = out[0]};
    twins::edit_head_forward(twin, forward);
    twins::edit_head_backward(twin, {.forward = forward,
                                     .grad_out = grad_out,
                                     .grad_weight = out[2],
                                     .grad_weight2 = when(out[3]),
                                     .grad_projection = out[1],
                                     .grad_kind_bias = out[4],
                                     .grad_mix = when(out[5]),
                                     .grad_head = out[6],
                                     .grad_head_bias = out[7]});
    return out;
  };
  const std::vector<Tensor> got = compare_twins("edit_head", [&](Twin twin) { return run_on(twin, first, refine); });
  CHECK(largest(values(got[0])) > 0.1);
}

TEST_CASE("cuda edit_head of rows that are stored as bf16") {
  const RandomBatch batch = random_batch(kSmall, Activation::relu, DType::float32, 1);
  const kernels::BlockTable& t = batch.table();
  const std::int64_t d = 32, h = 16, o = 3, kinds = kernels::kBlockKinds;
  const RandomFeatures features(t, DType::float32, 1, false);
  const kernels::EdgeInput refine = features.refine();
  const auto weights = [&](Shape shape, std::uint64_t seed) { return random_tensor(shape, DType::float32, seed, 0.3); };
  const Tensor edge = random_tensor({t.edge_count, d}, DType::bfloat16, 1),
               projection = weights({t.node_count, 2 * h}, 2), weight = weights({h, d}, 3),
               weight2 = weights({h, refine.width()}, 4), kind_bias = weights({kinds, h}, 5), mix = weights({h, h}, 6),
               head = weights({kinds, o, h}, 7), head_bias = weights({kinds, o}, 8);
  compare_twins("edit_head", [&](Twin twin) {
    const Tensor out = unset({t.edge_count, o}, DType::float32);
    twins::edit_head_forward(twin, {.table = t,
                                    .edge = {.rows = edge},
                                    .weight = weight,
                                    .edge2 = refine,
                                    .weight2 = weight2,
                                    .projection = projection,
                                    .kind_bias = kind_bias,
                                    .mix = mix,
                                    .head = head,
                                    .head_bias = head_bias,
                                    .out = out});
    return std::vector<Tensor>{out};
  });
}

TEST_CASE("cuda edit_head of no networks") {
  const RandomBatch none = make_batch({}, DType::float32);
  const HeadCase c{15, 9, 16, 3, true, true};
  const std::vector<Tensor> got = run(Twin::cuda, none.table(), none.table(), c, DType::float32),
                            expected = run(Twin::cpu, none.table(), none.table(), c, DType::float32);
  for (std::size_t i = 0; i < got.size(); ++i) CHECK(same_bits(got[i], expected[i]));
}

}  // namespace
}  // namespace amend::test
