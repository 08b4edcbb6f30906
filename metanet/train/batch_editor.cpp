#include "metanet/train/batch_editor.hpp"

#include <iterator>

#include "engine/parallel.hpp"
#include "kernels/fill.hpp"

namespace amend {

namespace {

/// Networks a thread takes at a time.
constexpr std::size_t kShardNetworks = 4;

/// The same rows for every edit by whoever holds the data: an edit is reproducible.
const RandomStream kProbeRows(0x616d656e64, 1);

/// `dataset`, once it is known to be that of the editor.
const Dataset& fitting(const TrainedEditor& trained, const Dataset& dataset) {
  expect_dataset(trained, dataset);
  return dataset;
}

}  // namespace

BatchEditor::BatchEditor(TrainedEditor& trained, const Dataset& dataset)
    : trained_(&trained),
      dataset_(&fitting(trained, dataset)),
      sampler_(dataset, dataset.editor_train,
               trained.editor->reads_groups() ? trained.config.sensitive : std::vector<std::string>{}) {
  rows_ = sampler_.draw(data_, trained.config.edit_probe_rows, trained.config.edit_probe_cell_rows, kProbeRows,
                        trained.editor->dtype());
  shared_ = make_editor_data(dataset, data_, trained.editor->dtype());
  if (trained.editor->gates().features) add_deviations(rows_, shared_.unique, data_, Stream());
}

std::vector<EditResult> BatchEditor::edit(std::span<const SubjectNetwork* const> networks,
                                          std::span<const double> lambda) {
  const std::size_t requirements = trained_->config.lambda.size(), count = networks.size();
  check(lambda.size() == count * requirements, "edit", "expected ", count * requirements, " weights, got ",
        lambda.size());
  expect_fitting(networks, trained_->config.shape);
  std::vector<EditResult> results(count);
  const std::size_t shards = (count + kShardNetworks - 1) / kShardNetworks;
  while (shards_.size() < shards) shards_.push_back(std::make_unique<Shard>());
  parallel_for(static_cast<std::int64_t>(shards), [&](std::int64_t s) {
    const std::size_t first = static_cast<std::size_t>(s) * kShardNetworks,
                      size = std::min(kShardNetworks, count - first);
    edit_shard(*shards_[static_cast<std::size_t>(s)], networks.subspan(first, size),
               lambda.subspan(first * requirements, size * requirements), std::span(results).subspan(first, size));
  });
  return results;
}

void BatchEditor::edit_shard(Shard& shard, std::span<const SubjectNetwork* const> networks,
                             std::span<const double> lambda, std::span<EditResult> results) const {
  const Editor& editor = *trained_->editor;
  shard.tape.reset();
  shard.tape.set_recording(false);
  shard.graph.assign(networks);
  EditorInputs inputs = make_inputs(shard.graph, networks, editor, shared_, shard.arena);
  encode_condition(inputs, lambda, trained_->config.lambda, shard.arena, editor.dtype());
  inputs.inner = &shard.inner;
  inputs.rows = &rows_;
  // The first features use the plain sum of the gradients of the requirements on groups.
  ProbeOptions options{.rows = &rows_,
                       .feature_offset = editor.gates().features ? shared_.feature_offset : TensorView{},
                       .requirements = &editor.requirements()};
  if (editor.reads_groups()) {
    options.lambda = shard.arena.tensor(inputs.lambda.shape, editor.dtype());
    kernels::fill({.y = options.lambda, .value = 1.0}, shard.tape.stream());
  }
  inputs.probe = probe_networks(shard.tape, shard.inner, shard.graph.table(), inputs.weight, inputs.bias, options);
  inputs.original_logits = inputs.probe.logits;
  editor.run(shard.tape, inputs, shard.passes);

  const op::EditedNetwork& edited = shard.passes.back().edited;
  for (std::size_t n = 0; n < networks.size(); ++n) {
    EditResult& result = results[n];
    result.network = *networks[n];
    shard.graph.scatter(static_cast<int>(n), edited.weight.value(), edited.bias.value(), result.network);
    validate(result.network, "the edit of network `" + networks[n]->name + "`");
    std::int64_t open = 0;
    for (const float weight : result.network.weights) open += weight != 0.0f;
    result.nonzero_share = static_cast<double>(open) / static_cast<double>(result.network.weights.size());
    const int inputs_count = result.network.widths[0], rows = result.network.widths[1];
    for (const Feature& feature : dataset_->features) {
      bool used = false;
      for (int i = 0; i < rows && !used; ++i)
        for (int k = 0; k < feature.input_count; ++k)
          used |= result.network.weights[static_cast<std::size_t>(i * inputs_count + feature.first_input + k)] != 0.0f;
      if (used) result.features.push_back(feature.name);
    }
  }
}

std::vector<EditResult> BatchEditor::edit_all(std::span<const SubjectNetwork* const> networks,
                                              std::span<const double> lambda, int batch) {
  check(batch > 0, "edit", "expected a batch of at least one network");
  const std::size_t requirements = trained_->config.lambda.size(), size = static_cast<std::size_t>(batch);
  std::vector<EditResult> results;
  for (std::size_t first = 0; first < networks.size(); first += size) {
    const std::size_t count = std::min(size, networks.size() - first);
    auto part = edit(networks.subspan(first, count), lambda.subspan(first * requirements, count * requirements));
    std::move(part.begin(), part.end(), std::back_inserter(results));
  }
  return results;
}

}  // namespace amend
