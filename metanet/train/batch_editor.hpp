#pragma once

#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "engine/graph_cache.hpp"
#include "engine/stream_owner.hpp"
#include "metanet/data/subject_network.hpp"
#include "metanet/train/editor_data.hpp"
#include "metanet/train/row_sampler.hpp"
#include "metanet/train/trained_editor.hpp"

namespace amend {

/// One edited network and what the editor knows of the edit.
struct EditResult {
  SubjectNetwork network;
  double nonzero_share = 1.0;         // of the weights
  double neuron_share = 1.0;          // of the hidden neurons: those that read and are read
  std::vector<std::string> features;  // names of the features it still reads
};

/// Edits networks with a trained editor, on the editor's device. Keeps its memory: editing batches of one size
/// allocates once. On the CPU a batch of as many networks as threads or more takes memory for one network a thread,
/// which stays in the caches.
class BatchEditor {
 public:
  /// `dataset` gives the rows of the probes (editor_train, drawn with a fixed seed). Throws InputError when the
  /// editor does not edit networks on it (`expect_dataset`).
  BatchEditor(TrainedEditor& trained, const Dataset& dataset);

  /// Edits all networks at once; on a device nothing comes back before the edited weights, and an edit whose shapes
  /// repeat is a graph. lambda: weights of the
  /// requirements of every network, (networks, requirements) row-major; see LambdaRange::at_strength. budget: of the
  /// same shape or empty, see stage_limits. A network's edit has the same bits alone and in any batch. Throws
  /// InputError when a network does not fit the dataset, Error when a result is not finite.
  std::vector<EditResult> edit(std::span<const SubjectNetwork* const> networks, std::span<const double> lambda,
                               std::span<const double> budget = {});

  /// The same in batches of `batch` networks.
  std::vector<EditResult> edit_all(std::span<const SubjectNetwork* const> networks, std::span<const double> lambda,
                                   int batch, std::span<const double> budget = {});

  /// What the last `edit` did between its two copies, once more: from weights on the device to edited weights (edges)
  /// and biases (nodes), which stay there until the next edit. Queued on `stream()` and not waited for. Throws Error on
  /// the CPU and before the first edit.
  std::vector<TensorView> repeat();
  /// Launches of kernels in the last edit on a device, when that was a graph; otherwise 0.
  int launches() const { return free_.empty() ? 0 : free_.front()->graphs.kernels(); }

  Stream stream() const { return stream_; }
  const RowBatch& probe_rows() const { return rows_; }
  /// Bytes that the edits so far have taken up.
  std::size_t memory() const;

 private:
  TrainedEditor* trained_;
  const Dataset* dataset_;
  /// What one thread, or the device, needs to edit networks from first to last.
  struct Shard {
    explicit Shard(Stream stream) : arena(stream.device()), tape(arena, stream), inner(arena, stream) {}

    Arena arena;
    Tape tape, inner;
    GraphBatch graph;
    EditorInputs inputs;
    std::vector<EditorPass> passes;
    GraphCache graphs;
  };

  /// Some of the networks of an edit and what is asked of them.
  struct Part {
    std::span<const SubjectNetwork* const> networks;
    std::span<const double> lambda, budget;
    std::span<EditResult> results;
  };

  void edit_with_free_shard(const Part& part);
  void edit_shard(Shard& shard, const Part& part) const;
  /// The edit of what was uploaded last: edited weight (edges) and bias (nodes), on the device.
  std::vector<TensorView> compute(Shard& shard) const;

  StreamOwner stream_;  // outlives all that works on it
  RowSampler sampler_;
  Arena data_;  // rows and indices, for the life of the editor
  RowBatch rows_;
  EditorData shared_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Shard>> free_;  // as many as ever worked at once
};

}  // namespace amend
