#include "kernels/message_layers.hpp"

#include "test/support/message_setup.hpp"
#include "test/support/twins.hpp"

AMEND_TWINS(message_layers, MessageLayers)

namespace amend::test {
namespace {

std::vector<Tensor> run(const MessageSetup& setup, Twin twin) {
  auto [edge, node] = setup.run([&](const kernels::MessageLayers& args, Stream) { twins::message_layers(twin, args); });
  return {edge, node};
}

TEST_CASE("cuda message_layers on chip") {
  const auto [type, d] =
      GENERATE(std::pair{DType::float32, 16}, std::pair{DType::float64, 16}, std::pair{DType::bfloat16, 32});
  const DType dtype = type == DType::bfloat16 ? DType::float32 : type;
  const RandomBatch batch = random_batch({{3, 1, 1}, {3, 18, 1}}, Activation::relu, dtype, 1);
  const MessageSetup setup(batch.table(), {.d = d, .h = 12, .layers = 2}, type);
  compare_twins(type == DType::bfloat16 ? "message_layers bf16" : "message_layers",
                [&](Twin twin) { return run(setup, twin); });
}

/// The first network alone, on chip, has the bits that it has beside the second one, which makes the batch run layer by
/// layer: its states of 256 bytes an edge, and what their kernel needs beside them, are more than a thread block has.
/// First blocks are wider than an item.
void check_alone(int hidden_of_second) {
  const RandomBatch batch =
      random_batch({{130, 2, 2}, {130, hidden_of_second, 2}}, Activation::relu, DType::float32, 2);
  const MessageShape shape{.d = 64, .h = 12, .layers = 1};
  const std::vector<Tensor> all = run(MessageSetup(batch.table(), shape, DType::float32), Twin::cuda);
  const RandomBatch alone = make_batch({batch.networks[0]}, DType::float32);
  const std::vector<Tensor> own =
      run(MessageSetup(alone.table(), shape, DType::float32, &batch.table(), 0), Twin::cuda);
  CHECK(same_bits(own[0], slice_rows(all[0], 0, alone.table().edge_count)));
  CHECK(same_bits(own[1], slice_rows(all[1], 0, alone.table().node_count)));
}

TEST_CASE("cuda message_layers: a network that stays on chip has the bits of one that runs layer by layer") {
  check_alone(3);
}

TEST_CASE("gpu message_layers: the same where a thread block has more memory", "[.][gpu]") { check_alone(8); }

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
