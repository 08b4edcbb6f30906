// The noise of gates in training: the same for the same seed, step and shard, another one otherwise.
#include <catch2/catch.hpp>

#include "metanet/model/editor.hpp"
#include "metanet/train/row_sampler.hpp"
#include "test/support/editor_setup.hpp"

namespace amend {
namespace {

struct Noise {
  std::uint64_t seed = 11;
  std::uint32_t step = 0, shard = 0;
  bool training = true;
};

/// The edited weights of the last pass.
Tensor edit(const TrainedEditor& trained, const Dataset& dataset, const std::vector<SubjectNetwork>& networks,
            const Noise& noise) {
  const test::ThreadCount one(1);
  const Editor& editor = *trained.editor;
  const DType dtype = editor.dtype();
  Arena arena;
  Tape tape(arena, Stream{}), inner(arena, Stream{});
  tape.set_recording(false);
  std::vector<const SubjectNetwork*> pointers;
  for (const SubjectNetwork& network : networks) pointers.push_back(&network);
  const GraphBatch graph(pointers);
  const EditorData data = make_editor_data(dataset, {}, arena, dtype);
  EditorInputs inputs = make_inputs(graph, pointers, editor, data, arena);
  encode_condition(inputs, test::spread_lambda(trained, networks.size()), trained.config.lambda, arena, dtype);
  RowBatch rows = RowSampler(dataset, dataset.editor_train, {}).draw(arena, 64, 0, RandomStream(5, 1), dtype);
  add_deviations(rows, data.unique, arena, Stream{});
  inputs.probe = probe_networks(tape, inner, graph.table(), inputs.weight, inputs.bias,
                                {.rows = &rows,
                                 .feature_offset = editor.gates().features ? data.feature_offset : TensorView{},
                                 .requirements = &editor.requirements()});
  inputs.rows = &rows;
  inputs.original_logits = inputs.probe.logits;
  inputs.inner = &inner;
  inputs.training = noise.training;
  inputs.noise_seed = noise.seed;
  inputs.noise_step = noise.step;
  inputs.noise_shard = noise.shard;
  std::vector<EditorPass> passes;
  editor.run(tape, inputs, passes);
  return test::convert(passes.back().edited.weight.value(), dtype);
}

TEST_CASE("noise in training repeats for the same seed, step and shard, and for no other") {
  const Dataset dataset = test::small_dataset();
  const auto requirements = GENERATE(std::vector<std::string>{"pruning"}, std::vector<std::string>{"neurons"},
                                     std::vector<std::string>{"data_minimisation"},
                                     std::vector<std::string>{"pruning", "neurons", "data_minimisation"});
  const int passes = GENERATE(1, 3);
  const std::string kind = GENERATE("straight_through", "hard_concrete");
  CAPTURE(requirements, passes, kind);
  const TrainedEditor trained =
      test::small_editor({.requirements = requirements, .passes = passes, .gate = kind}, dataset, DType::float32);
  const auto networks = test::mixed_networks(6);
  const auto run = [&](const Noise& noise) { return edit(trained, dataset, networks, noise); };
  const Noise base{.step = 4, .shard = 2};
  const Tensor first = run(base);
  CHECK(test::same_bits(first, run(base)));
  std::vector<Tensor> others;
  for (const Noise& noise : {Noise{.step = 5, .shard = 2}, Noise{.step = 4, .shard = 3}, Noise{.step = 2, .shard = 4},
                             Noise{.seed = 12, .step = 4, .shard = 2}, Noise{.training = false}}) {
    others.push_back(run(noise));
    CHECK_FALSE(test::same_bits(first, others.back()));
  }
  for (std::size_t a = 0; a < others.size(); ++a)
    for (std::size_t b = 0; b < a; ++b) CHECK_FALSE(test::same_bits(others[a], others[b]));
  // A delivered edit knows no noise.
  CHECK(test::same_bits(others.back(), run({.seed = 99, .step = 7, .shard = 1, .training = false})));
}

}  // namespace
}  // namespace amend
