#include "metanet/train/batch_editor.hpp"

#include <omp.h>

#include <iterator>

#include "engine/copy.hpp"
#include "engine/parallel.hpp"
#include "kernels/fill.hpp"

namespace amend {

namespace {

/// The same rows for every edit by whoever holds the data: an edit is reproducible.
const RandomStream kProbeRowStream(0x616d656e64, 1);

/// The share of the hidden neurons with a weight that is not zero on either side; 1 when there are none.
double connected_share(const SubjectNetwork& network) {
  std::int64_t connected = 0, hidden = 0;
  const float* incoming = network.weights.data();
  for (std::size_t layer = 1; layer + 1 < network.widths.size(); ++layer) {
    const std::int64_t sources = network.widths[layer - 1], width = network.widths[layer],
                       targets = network.widths[layer + 1];
    const float* const outgoing = incoming + sources * width;
    for (std::int64_t i = 0; i < width; ++i) {
      bool reads = false, read = false;
      for (std::int64_t j = 0; j < sources && !reads; ++j) reads = incoming[i * sources + j] != 0.0f;
      for (std::int64_t k = 0; k < targets && !read; ++k) read = outgoing[k * width + i] != 0.0f;
      connected += reads && read;
    }
    hidden += width;
    incoming = outgoing;
  }
  return hidden > 0 ? static_cast<double>(connected) / static_cast<double>(hidden) : 1.0;
}

/// `dataset`, once it is known to be that of the editor.
const Dataset& fitting(const TrainedEditor& trained, const Dataset& dataset) {
  expect_dataset(trained, dataset);
  return dataset;
}

}  // namespace

BatchEditor::BatchEditor(TrainedEditor& trained, const Dataset& dataset)
    : trained_(&trained),
      dataset_(&fitting(trained, dataset)),
      stream_(trained.editor->device()),
      sampler_(dataset, dataset.editor_train, trained.groups_on(dataset), stream_),
      data_(trained.editor->device()) {
  rows_ = sampler_.draw(data_, trained.config.edit_probe_rows, trained.config.edit_probe_cell_rows, kProbeRowStream,
                        trained.editor->dtype(), stream_);
  shared_ = make_editor_data(dataset, trained.groups_on(dataset), data_, trained.editor->dtype(), stream_);
  if (trained.editor->gates().features) add_deviations(rows_, shared_.unique, data_, stream_);
}

std::vector<EditResult> BatchEditor::edit(std::span<const SubjectNetwork* const> networks,
                                          std::span<const double> lambda, std::span<const double> budget) {
  const std::size_t requirements = trained_->config.lambda.size(), count = networks.size();
  check(lambda.size() == count * requirements, "edit", "expected ", count * requirements, " weights, got ",
        lambda.size());
  check(budget.empty() || budget.size() == lambda.size(), "edit", "expected a budget for each of ", lambda.size(),
        " weights, got ", budget.size());
  expect_fitting(networks, dataset_->inputs, dataset_->classes);
  std::vector<EditResult> results(count);
  stream_.make_current();
  const auto part = [&](std::size_t first, std::size_t size) {
    const auto of = [&](std::span<const double> values) {
      return values.empty() ? values : values.subspan(first * requirements, size * requirements);
    };
    return Part{networks.subspan(first, size), of(lambda), of(budget), std::span(results).subspan(first, size)};
  };
  if (trained_->editor->device().is_cuda() || count < static_cast<std::size_t>(omp_get_max_threads())) {
    // All at once: a device, or the threads, share the work within a network.
    if (count > 0) edit_with_free_shard(part(0, count));
    return results;
  }
  parallel_for(static_cast<std::int64_t>(count),
               [&](std::int64_t n) { edit_with_free_shard(part(static_cast<std::size_t>(n), 1)); });
  return results;
}

void BatchEditor::edit_with_free_shard(const Part& part) {
  std::unique_ptr<Shard> shard;
  {
    const std::lock_guard lock(mutex_);
    if (!free_.empty()) {
      shard = std::move(free_.back());
      free_.pop_back();
    }
  }
  if (!shard) shard = std::make_unique<Shard>(stream_);
  const auto give_back = [&] {
    const std::lock_guard lock(mutex_);
    free_.push_back(std::move(shard));
  };
  try {
    edit_shard(*shard, part);
  } catch (...) {
    give_back();
    throw;
  }
  give_back();
}

void BatchEditor::edit_shard(Shard& shard, const Part& part) const {
  const Editor& editor = *trained_->editor;
  const auto networks = part.networks;
  shard.tape.reset();
  shard.inner.forget();
  shard.tape.set_recording(false);
  shard.graph.assign(networks);
  shard.graph.stage(shard.arena);
  shard.inputs = make_inputs(shard.graph, networks, editor, shared_, shard.arena);
  encode_condition(shard.inputs, part.lambda, trained_->config.lambda, shard.arena, editor.dtype());
  if (!part.budget.empty()) stage_limits(shard.inputs, networks, part.budget, editor, dataset_->features, shard.arena);
  shard.arena.upload(stream_);
  const std::vector<TensorView> edited = compute(shard);

  TensorView edited_weight = edited[0], edited_bias = edited[1];
  Tensor host_weight, host_bias;
  if (edited_weight.device.is_cuda()) {
    edited_weight = host_weight = host_copy(edited_weight, stream_);
    edited_bias = host_bias = host_copy(edited_bias, stream_);
  }
  for (std::size_t n = 0; n < networks.size(); ++n) {
    EditResult& result = part.results[n];
    result.network = *networks[n];
    shard.graph.scatter(static_cast<int>(n), edited_weight, edited_bias, result.network);
    validate(result.network, "the edit of network `" + networks[n]->name + "`");
    std::int64_t open = 0;
    for (const float weight : result.network.weights) open += weight != 0.0f;
    result.nonzero_share = static_cast<double>(open) / static_cast<double>(result.network.weights.size());
    result.neuron_share = connected_share(result.network);
    for (const Feature& feature : dataset_->features)
      if (reads_feature(result.network, feature)) result.features.push_back(feature.name);
  }
}

std::vector<TensorView> BatchEditor::compute(Shard& shard) const {
  const Editor& editor = *trained_->editor;
  // After the upload: on a device everything that changes from edit to edit lies in device memory.
  const auto work = [&] {
    EditorInputs& inputs = shard.inputs;
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
    inputs.probe =
        probe_networks(shard.tape, shard.inner, shard.graph.device_table(), inputs.weight, inputs.bias, options);
    inputs.original_logits = inputs.probe.logits;
    editor.run(shard.tape, inputs, shard.passes);
    const op::EditedNetwork& edited = shard.passes.back().edited;
    return std::vector<TensorView>{edited.weight.value(), edited.bias.value()};
  };
  if (!editor.device().is_cuda()) return work();
  GraphCache::Key key = shard.graph.launch_key();
  key.push_back(static_cast<std::int64_t>(editor.shape().precision));
  for (const GateLimit* limit : {&shard.inputs.weight_limit, &shard.inputs.neuron_limit, &shard.inputs.feature_limit})
    key.push_back(limit->budget ? 1 : 0);
  return shard.graphs.run(key, stream_, work);
}

std::vector<TensorView> BatchEditor::repeat() {
  check(stream_.get().device().is_cuda() && !free_.empty(), "edit", "expected an edit on a device to repeat");
  stream_.make_current();
  Shard& shard = *free_.front();
  shard.tape.reset();  // what was uploaded stays where it is
  return compute(shard);
}

std::size_t BatchEditor::memory() const {
  std::size_t bytes = 0;
  for (const auto& shard : free_) bytes += shard->arena.capacity();
  return bytes;
}

std::vector<EditResult> BatchEditor::edit_all(std::span<const SubjectNetwork* const> networks,
                                              std::span<const double> lambda, int batch,
                                              std::span<const double> budget) {
  check(batch > 0, "edit", "expected a batch of at least one network");
  const std::size_t requirements = trained_->config.lambda.size(), size = static_cast<std::size_t>(batch);
  std::vector<EditResult> results;
  for (std::size_t first = 0; first < networks.size(); first += size) {
    const std::size_t count = std::min(size, networks.size() - first);
    const auto of = [&](std::span<const double> values) {
      return values.empty() ? values : values.subspan(first * requirements, count * requirements);
    };
    auto part = edit(networks.subspan(first, count), of(lambda), of(budget));
    std::move(part.begin(), part.end(), std::back_inserter(results));
  }
  return results;
}

}  // namespace amend
