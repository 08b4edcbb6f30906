#include "kernels/edge_update.hpp"

#include <cmath>
#include <utility>

#include "kernels/arguments.hpp"
#include "test/support/twins.hpp"

AMEND_TWINS(edge_update_forward, EdgeUpdate)
AMEND_TWINS(edge_update_backward, EdgeUpdateGradient)

namespace amend::test {
namespace {

/// Blocks of one weight, narrower than a warp's tile, wider than one, and with rows for several rounds.
const std::vector<std::vector<int>> kShapes = {{5, 1, 2}, {5, 19, 5, 2}, {5, 2}};

/// Which optional arguments a pass is given, and whether the gradient of its states takes the place of its results'.
struct Given {
  bool grad_edge_out = true, grad_aggregate = true, grad_edge = true, in_place = false;
};

/// edge_out, aggregate and the gradients of edge, projection, modulation, weight_c, weight_g. Inputs are those of a
/// larger batch, of which `table` is the part that starts at these rows.
struct Pass {
  const kernels::BlockTable& table;
  const kernels::BlockTable& batch;
  std::int64_t d;
  DType dtype;
  Given given = {};
  kernels::Precision precision = kernels::Precision::float32;
  std::int64_t first_edge = 0, first_node = 0, first_network = 0;

  Tensor rows(std::int64_t first, std::int64_t count, std::int64_t of, std::int64_t width, std::uint64_t seed,
              double scale = 1.0, double shift = 0.0) const {
    return convert(slice_rows(random_tensor({of, width}, dtype, seed, scale, shift), first, count), dtype);
  }
  Tensor edges(std::int64_t width, std::uint64_t seed) const {
    return rows(first_edge, table.edge_count, batch.edge_count, width, seed);
  }
  Tensor nodes(std::int64_t width, std::uint64_t seed) const {
    return rows(first_node, table.node_count, batch.node_count, width, seed);
  }

  std::vector<Tensor> operator()(Twin twin) const {
    const double scale = 2.0 / std::sqrt(static_cast<double>(d));
    const Tensor edge = edges(d, 1), projection = nodes(4 * d, 2), weight_c = random_tensor({d, d}, dtype, 3, scale),
                 weight_g = random_tensor({d, d}, dtype, 4, scale),
                 modulation = rows(first_network, table.network_count, batch.network_count, 3 * d, 5, 0.5, 0.7),
                 grad_edge_out = edges(d, 6), grad_aggregate = nodes(2 * d, 7), grad_edge = edges(d, 8),
                 grad_projection = nodes(4 * d, 9),
                 grad_modulation = rows(first_network, table.network_count, batch.network_count, 3 * d, 10),
                 grad_weight_c = random_tensor({d, d}, dtype, 11), grad_weight_g = random_tensor({d, d}, dtype, 12),
                 edge_out = unset(edge.view().shape, dtype), aggregate = unset({table.node_count, 2 * d}, dtype);
    // No step in one channel, which the gradient of alpha may not divide by.
    kernels::dispatch_float("edge_update", dtype, [&](auto zero) {
      for (std::int32_t n = 0; n < table.network_count; ++n)
        modulation.as<decltype(zero)>()[n * 3 * d + 2 * d + 1] = zero;
    });
    const kernels::EdgeUpdate forward{.table = table,
                                      .edge = edge,
                                      .projection = projection,
                                      .weight_c = weight_c,
                                      .weight_g = weight_g,
                                      .modulation = modulation,
                                      .edge_out = edge_out,
                                      .aggregate = aggregate,
                                      .precision = precision};
    const auto optional = [](bool wanted, const Tensor& x) { return wanted ? x.view() : TensorView{}; };
    const Tensor& to_edge = given.in_place ? grad_edge_out : grad_edge;
    twins::edge_update_forward(twin, forward);
    twins::edge_update_backward(twin, {.forward = forward,
                                       .grad_edge_out = optional(given.grad_edge_out, grad_edge_out),
                                       .grad_aggregate = optional(given.grad_aggregate, grad_aggregate),
                                       .grad_edge = optional(given.grad_edge, to_edge),
                                       .grad_projection = grad_projection,
                                       .grad_weight_c = grad_weight_c,
                                       .grad_weight_g = grad_weight_g,
                                       .grad_modulation = grad_modulation});
    return {edge_out, aggregate, to_edge, grad_projection, grad_modulation, grad_weight_c, grad_weight_g};
  }
};

/// The name of its row in the table of tolerances.
const char* entry_of(kernels::Precision precision) {
  return precision == kernels::Precision::tf32   ? "edge_update_tf32 twins"
         : precision == kernels::Precision::bf16 ? "edge_update_bf16 twins"
                                                 : "edge_update";
}

TEST_CASE("cuda edge_update") {
  const DType dtype = DType::float32;
  const auto precision = GENERATE(kernels::Precision::float32, kernels::Precision::bf16);
  const std::int64_t d = 16;
  const RandomBatch batch = random_batch(kShapes, Activation::relu, dtype, 1);
  const std::vector<Tensor> got =
      compare_twins(entry_of(precision), Pass{batch.table(), batch.table(), d, dtype, {}, precision});
  for (std::size_t n : {0u, 1u}) {  // the same bits alone
    const kernels::Network& network = batch.table().network[n];
    const RandomBatch alone = make_batch({batch.networks[n]}, dtype);
    const auto own_network = static_cast<std::int64_t>(n);
    const std::vector<Tensor> own = Pass{alone.table(),       batch.table(),       d,          dtype, {}, precision,
                                         network.edge_offset, network.node_offset, own_network}(Twin::cuda);
    for (std::size_t i : {0u, 2u})
      CHECK(same_bits(own[i], slice_rows(got[i], network.edge_offset, network.edge_count)));
    for (std::size_t i : {1u, 3u})
      CHECK(same_bits(own[i], slice_rows(got[i], network.node_offset, network.node_count)));
    CHECK(same_bits(own[4], slice_rows(got[4], own_network, 1)));
  }
}

/// Within the tolerance of the CPU; one schedule, where what it shuffles is what another test has.
void compare_once(const char* entry, const Pass& pass) {
  const std::vector<Tensor> expected = pass(Twin::cpu), got = pass(Twin::cuda);
  for (std::size_t i = 0; i < got.size(); ++i) {
    INFO("output " << i);
    CHECK(close(entry, got[i], values(expected[i])));
  }
}

TEST_CASE("cuda edge_update in all widths") {
  const RandomBatch batch = random_batch({{17, 1}}, Activation::relu, DType::float32, 2);
  const auto compare = [&](std::int64_t d, kernels::Precision precision, DType dtype = DType::float32) {
    INFO("width " << d);
    compare_once(entry_of(precision), {batch.table(), batch.table(), d, dtype, {}, precision});
  };
  for (std::int64_t d : {32, 64, 128}) compare(d, kernels::Precision::float32);
  for (std::int64_t d : {16, 32}) compare(d, kernels::Precision::float32, DType::float64);
  for (std::int64_t d : {16, 32, 64, 128}) compare(d, kernels::Precision::tf32);
  for (std::int64_t d : {32, 64, 128}) compare(d, kernels::Precision::bf16);
}

TEST_CASE("cuda edge_update rounds the operands that its CPU twin rounds") {
  const auto precision = GENERATE(kernels::Precision::tf32, kernels::Precision::bf16);
  const RandomBatch batch = random_batch({{17, 3, 2}}, Activation::relu, DType::float32, 2);
  const auto results = [&](kernels::Precision how, Twin twin) {
    return Pass{batch.table(), batch.table(), 32, DType::float32, {}, how}(twin);
  };
  const std::vector<Tensor> exact = results(kernels::Precision::float32, Twin::cpu),
                            expected = results(precision, Twin::cpu), got = results(precision, Twin::cuda);
  for (std::size_t i = 0; i < got.size(); ++i) {
    INFO("result " << i);
    // A sum on the other side of a tie rounds an operand otherwise: few do.
    CHECK(mean_difference(values(got[i]), values(expected[i])) <=
          0.05 * mean_difference(values(exact[i]), values(expected[i])));
  }
}

/// edge_out and aggregate of a forward pass alone.
struct Forward {
  const RandomBatch& batch;
  std::int64_t d;
  kernels::Precision precision;

  std::vector<Tensor> operator()(Twin twin, const Tensor& edge, const Tensor& edge_out) const {
    const kernels::BlockTable& table = batch.table();
    const Tensor projection = random_tensor({table.node_count, 4 * d}, DType::float32, 2),
                 weight = random_tensor({2 * d, d}, DType::float32, 3, 2.0 / std::sqrt(static_cast<double>(d))),
                 modulation = random_tensor({table.network_count, 3 * d}, DType::float32, 5, 0.5, 0.7),
                 aggregate = unset({table.node_count, 2 * d}, DType::float32);
    twins::edge_update_forward(twin, {.table = table,
                                      .edge = edge,
                                      .projection = projection,
                                      .weight_c = slice_rows(weight, 0, d),
                                      .weight_g = slice_rows(weight, d, d),
                                      .modulation = modulation,
                                      .edge_out = edge_out,
                                      .aggregate = aggregate,
                                      .precision = precision});
    return {edge_out, aggregate};
  }
};

TEST_CASE("cuda edge_update of states that are stored as bf16") {
  const std::int64_t d = GENERATE(16, 64);
  const RandomBatch batch = random_batch({{17, 1}}, Activation::relu, DType::float32, 5);
  const Tensor edge = random_tensor({batch.table().edge_count, d}, DType::bfloat16, 1);
  const Forward forward{batch, d, kernels::Precision::bf16};
  compare_twins("edge_update_bf16",
                [&](Twin twin) { return forward(twin, edge, unset(edge.view().shape, DType::bfloat16)); });
}

TEST_CASE("cuda edge_update in place of its states") {
  const auto precision = GENERATE(kernels::Precision::float32, kernels::Precision::bf16);
  const RandomBatch batch = random_batch({{5, 19, 2}}, Activation::relu, DType::float32, 6);
  const Tensor edge = random_tensor({batch.table().edge_count, 16}, DType::float32, 1),
               states = convert(edge, DType::float32);
  const Forward forward{batch, 16, precision};
  const std::vector<Tensor> apart = forward(Twin::cuda, edge, unset(edge.view().shape, DType::float32)),
                            in_place = forward(Twin::cuda, states, states);
  CHECK(same_bits(in_place[0], apart[0]));
  CHECK(same_bits(in_place[1], apart[1]));
}

TEST_CASE("cuda edge_update with the gradient of its states in place") {
  const auto precision = GENERATE(kernels::Precision::float32, kernels::Precision::bf16);
  const RandomBatch batch = random_batch(kShapes, Activation::relu, DType::float32, 1);
  compare_twins(entry_of(precision),
                Pass{batch.table(), batch.table(), 16, DType::float32, {.in_place = true}, precision});
}

TEST_CASE("cuda edge_update of blocks that several items share") {
  // 4100 rows: two items below each other. 130 columns: two side by side, of several warps each.
  const std::vector<int> widths = GENERATE(std::vector{1, 4100}, std::vector{130, 2});
  const RandomBatch batch = random_batch({widths}, Activation::relu, DType::float32, 3);
  compare_once("edge_update", {batch.table(), batch.table(), 16, DType::float32});
}

TEST_CASE("cuda edge_update without what is optional") {
  const RandomBatch batch = random_batch({{5, 2}}, Activation::relu, DType::float32, 4);
  for (const Given given : {Given{false, true, true}, Given{true, false, true}, Given{true, true, false}})
    compare_twins("edge_update", Pass{batch.table(), batch.table(), 16, DType::float32, given});
}

/// What `run` gives on a device whose blocks have 163 KB of shared memory it gives on one of 99 KB: the plans differ
/// from 64 channels on.
template <class Run>
void check_footprints(const Run& run) {
  const auto with = [&](std::size_t bytes) {
    const emulation::SharedBytes shared(bytes);
    return run();
  };
  const std::vector<Tensor> roomy = with(emulation::SharedBytes::kMost), tight = with(emulation::SharedBytes::kLeast);
  for (std::size_t i = 0; i < roomy.size(); ++i) {
    INFO("output " << i);
    CHECK(same_bits(tight[i], roomy[i]));
  }
}

TEST_CASE("cuda edge_update: the same bits with less shared memory") {
  const std::vector<std::vector<int>> shapes = {{5, 1, 1, 2}, {5, 18, 2}};
  const auto check = [&](std::int64_t d, kernels::Precision precision, DType dtype = DType::float32) {
    INFO("width " << d);
    const RandomBatch batch = random_batch(shapes, Activation::relu, dtype, 7);
    const Pass pass{batch.table(), batch.table(), d, dtype, {}, precision};
    check_footprints([&] { return pass(Twin::cuda); });
  };
  SECTION("float32")
  for (std::int64_t d : {16, 32, 64, 128}) check(d, kernels::Precision::float32);
  SECTION("tf32")
  for (std::int64_t d : {16, 32, 64, 128}) check(d, kernels::Precision::tf32);
  SECTION("bf16")
  for (std::int64_t d : {16, 32, 64, 128}) check(d, kernels::Precision::bf16);
  SECTION("float64")
  for (std::int64_t d : {16, 32}) check(d, kernels::Precision::float32, DType::float64);
}

TEST_CASE("cuda edge_update: the same bits with less shared memory, of several items and of bf16 states") {
  const RandomBatch batch = random_batch({{130, 2}}, Activation::relu, DType::float32, 8);  // one thread block's items
  const auto precision = GENERATE(kernels::Precision::float32, kernels::Precision::bf16);
  const DType stored = precision == kernels::Precision::bf16 ? DType::bfloat16 : DType::float32;
  const Tensor edge = random_tensor({batch.table().edge_count, 128}, stored, 1);
  const Forward forward{batch, 128, precision};
  check_footprints([&] { return forward(Twin::cuda, edge, unset(edge.view().shape, stored)); });
}

TEST_CASE("cuda edge_update of no networks, and widths that have no kernel") {
  const RandomBatch none = make_batch({}, DType::float32);
  const std::vector<Tensor> got = Pass{none.table(), none.table(), 16, DType::float32}(Twin::cuda);
  CHECK(same_bits(got[5], random_tensor({16, 16}, DType::float32, 11)));
  CHECK_THAT(error_of([&] {
               Pass{none.table(), none.table(), 24, DType::float32}(Twin::cuda);
             }),
             Catch::Contains("expected 16, 32, 64 or 128 channels"));
}

}  // namespace
}  // namespace amend::test
