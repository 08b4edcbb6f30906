#include "kernels/message_layers.hpp"

#include "test/support/message_setup.hpp"
#include "test/support/random_features.hpp"
#include "test/support/twins.hpp"

AMEND_TWINS(message_layers, MessageLayers)

namespace amend::test {
namespace {

std::vector<Tensor> run(const MessageSetup& setup, Twin twin, const kernels::EdgeEmbed& embed = {}) {
  auto [edge, node] =
      setup.run([&](const kernels::MessageLayers& args, Stream) { twins::message_layers(twin, args); }, embed);
  return {edge, node};
}

using Widths = std::vector<std::vector<int>>;

TEST_CASE("cuda message_layers on chip") {
  const auto [type, d] =
      GENERATE(std::pair{DType::float32, 16}, std::pair{DType::float64, 16}, std::pair{DType::bfloat16, 32});
  const DType dtype = type == DType::bfloat16 ? DType::float32 : type;
  const RandomBatch batch = random_batch({{3, 1, 1}, {3, 18, 1}}, Activation::relu, dtype, 1);
  const MessageSetup setup(batch.table(), {.d = d, .h = 12, .layers = 2}, type);
  const emulation::SharedBytes shared(emulation::SharedBytes::kMost);
  compare_twins(type == DType::bfloat16 ? "message_layers bf16" : "message_layers",
                [&](Twin twin) { return run(setup, twin); });
}

TEST_CASE("cuda message_layers form the states") {
  const DType type = GENERATE(DType::float32, DType::bfloat16);
  const RandomBatch batch = random_batch({{3, 5, 1}, {3, 1}}, Activation::relu, DType::float32, 1);
  const RandomFeatures features(batch.table(), DType::float32, 1, true);
  const Tensor weight = random_tensor({16, kernels::kEdgeFeatures}, DType::float32, 4, 0.2),
               bias = random_tensor({16}, DType::float32, 5, 0.5);
  const emulation::SharedBytes shared(GENERATE(std::size_t{0}, emulation::SharedBytes::kMost));
  compare_twins(type == DType::bfloat16 ? "message_layers bf16" : "message_layers", [&, of = type](Twin twin) {
    const MessageSetup setup(batch.table(), {.d = 16, .h = 12, .layers = 2}, of);
    return run(setup, twin,
               {.table = batch.table(), .input = features.first(), .weight = weight, .bias = bias, .out = setup.edge});
  });
}

/// Shared memory of a block in KB, and the blocks of a cluster that a network then has.
struct Limit {
  std::size_t kilobytes;
  unsigned blocks;
};

/// Under each limit the bits are those of the layers' own kernels, which run where a block has no shared memory.
/// `embeds`: the states are formed from features.
void check_limits(const Widths& widths, DType type, std::int64_t d, const std::vector<Limit>& limits,
                  bool embeds = false) {
  const DType dtype = type == DType::float64 ? DType::float64 : DType::float32;
  const RandomBatch batch = random_batch(widths, Activation::relu, dtype, 3);
  const RandomFeatures features(batch.table(), dtype, 1, true);
  const Tensor weight = random_tensor({d, kernels::kEdgeFeatures}, dtype, 4, 0.2),
               bias = random_tensor({d}, dtype, 5, 0.5);
  const auto run_with = [&](const Limit& limit) {
    const MessageSetup setup(batch.table(), {.d = d, .h = 20, .layers = 2}, type);  // anew: an embedding writes into it
    kernels::EdgeEmbed embed;
    if (embeds)
      embed = {.table = batch.table(), .input = features.first(), .weight = weight, .bias = bias, .out = setup.edge};
    const emulation::SharedBytes shared(limit.kilobytes << 10);
    emulation::take_largest_cluster();
    std::vector<Tensor> out = run(setup, Twin::cuda, embed);
    if (!twin_device().is_cuda()) CHECK(emulation::take_largest_cluster() == limit.blocks);
    return out;
  };
  const std::vector<Tensor> expected = run_with({0, 1});
  std::uint64_t seed = 8;
  for (const Limit& limit : limits) {
    INFO("D " << d << ", " << limit.kilobytes << " KB");
    const emulation::ScheduleSeed schedule(seed++);
    const std::vector<Tensor> got = run_with(limit);
    CHECK(same_bits(got[0], expected[0]));
    CHECK(same_bits(got[1], expected[1]));
  }
}

TEST_CASE("cuda message_layers: the same bits in a block, in clusters and layer by layer") {
  const Widths shapes{{40, 12, 9, 2}, {40, 1, 2}, {40, 5, 2}};  // the second and third are small enough for a block
  SECTION("float32") { check_limits(shapes, DType::float32, 16, {{26, 8}, {33, 4}, {44, 2}, {60, 1}}); }
  SECTION("float32, 32 channels") { check_limits(shapes, DType::float32, 32, {{50, 8}, {90, 2}}); }
  SECTION("float32, 64 channels") { check_limits(shapes, DType::float32, 64, {{108, 8}}); }
  SECTION("float64") { check_limits(shapes, DType::float64, 16, {{48, 8}, {62, 4}}); }
  SECTION("bf16") { check_limits(shapes, DType::bfloat16, 16, {{21, 8}, {30, 2}}); }
  SECTION("bf16, 32 channels") { check_limits(shapes, DType::bfloat16, 32, {{38, 8}, {45, 4}}); }
  SECTION("bf16, 64 channels") { check_limits(shapes, DType::bfloat16, 64, {{91, 4}}); }
}

TEST_CASE("cuda message_layers: states formed in a block, in clusters and in memory have the same bits") {
  const Widths shapes{{40, 12, 9, 2}, {40, 1, 2}};
  SECTION("float32") { check_limits(shapes, DType::float32, 16, {{26, 8}, {60, 1}}, true); }
  SECTION("float32, 32 channels") { check_limits(shapes, DType::float32, 32, {{90, 2}}, true); }
  SECTION("float64") { check_limits(shapes, DType::float64, 16, {{62, 4}}, true); }
  SECTION("bf16, 64 channels") { check_limits(shapes, DType::bfloat16, 64, {{91, 4}}, true); }
}

TEST_CASE("cuda message_layers: clusters of networks of other shapes") {
  SECTION("few columns, whose tiles have several rows") {
    check_limits({{5, 30, 1}, {5, 3, 1}, {5, 1, 1}}, DType::float32, 16, {{21, 8}, {24, 4}});
  }
  SECTION("rows of two items") { check_limits({{130, 3, 1}}, DType::float32, 16, {{24, 8}}); }
  SECTION("columns of two items") { check_limits({{40, 110, 2}}, DType::float32, 16, {{70, 8}}); }
  SECTION("columns that three blocks add to") { check_limits({{80, 20, 1}}, DType::float32, 16, {{36, 8}}); }
  SECTION("fewer edges than blocks") { check_limits({{2, 1, 1}, {2, 60, 1}}, DType::float32, 16, {{21, 8}}); }
}

/// The first network alone has the bits that it has beside the second one, for which the batch runs in larger clusters
/// or layer by layer.
void check_alone(const Widths& widths, DType type) {
  const RandomBatch batch = random_batch(widths, Activation::relu, DType::float32, 2);
  const MessageShape shape{.d = 64, .h = 12, .layers = 1};
  const emulation::SharedBytes shared(emulation::SharedBytes::kMost);
  const std::vector<Tensor> all = run(MessageSetup(batch.table(), shape, type), Twin::cuda);
  const RandomBatch alone = make_batch({batch.networks[0]}, DType::float32);
  const std::vector<Tensor> own = run(MessageSetup(alone.table(), shape, type, &batch.table(), 0), Twin::cuda);
  CHECK(same_bits(own[0], slice_rows(all[0], 0, alone.table().edge_count)));
  CHECK(same_bits(own[1], slice_rows(all[1], 0, alone.table().node_count)));
}

TEST_CASE("cuda message_layers: a network has the same bits beside one that needs more blocks") {
  check_alone({{130, 2, 2}, {130, 3, 2}}, DType::float32);
}

TEST_CASE("gpu message_layers: the same where a thread block has more memory", "[.][gpu]") {
  check_alone({{130, 2, 2}, {130, 8, 2}}, DType::float32);
  for (const DType type : {DType::float32, DType::bfloat16}) {
    check_alone({{104, 32, 16, 2}, {104, 200, 2}}, type);
    check_alone({{104, 4, 2}, {104, 32, 16, 2}, {104, 2}, {104, 32, 16, 2}}, type);
  }
}

TEST_CASE("cuda message_layers of no layers and no networks") {
  const RandomBatch batch = random_batch({{3, 4, 2}}, Activation::relu, DType::float32, 1);
  const MessageSetup none(batch.table(), {.d = 16, .h = 12, .layers = 0}, DType::float32);
  const std::vector<Tensor> copies = run(none, Twin::cuda);
  CHECK(same_bits(copies[0], none.edge));
  CHECK(same_bits(copies[1], none.node));
  const RandomBatch empty = make_batch({}, DType::float32);
  CHECK(run(MessageSetup(empty.table(), {.d = 16, .h = 12, .layers = 2}, DType::float32), Twin::cuda)[0].count() == 0);
}

}  // namespace
}  // namespace amend::test
