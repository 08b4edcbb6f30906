#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/graph_cache.hpp"
#include "engine/stream_owner.hpp"
#include "metanet/data/dataset.hpp"
#include "metanet/train/batch_editor.hpp"
#include "metanet/train/training_step.hpp"

namespace amend::bench {

/// What is measured: an editor's sizes, the networks it edits and the rows it probes them on. The requirement is
/// `pruning`, one gate a weight.
struct Workload {
  std::string name;
  std::vector<int> widths{104, 32, 16, 2};  // of the networks: an Adult-like multi-layer perceptron, 3,872 weights
  int edge_width = 32;                      // D
  int node_width = 32;                      // H
  int messages = 1;                         // K
  int passes = 3;                           // T
  std::int64_t probe_rows = 512;
};

/// `a`: messages, D = H = 64, K = 4, T = 1. `b`: the recommended editor, D = H = 32, K = 1, T = 3. `c`, `d`: the
/// editor with more messages, D = H = 32, K = 3, on networks 108-32-16-2, with T = 1 and T = 3. Throws InputError for
/// another name.
Workload workload(const std::string& name);

/// Rows that look like those of an encoded table - five standardised columns, the others one-hot in nine groups where
/// there is room - with random labels.
Dataset tabular_dataset(int inputs, int classes, std::int64_t rows);

/// ReLU networks with normal weights of variance 2 / inputs of the layer and normal biases of deviation 0.3.
std::vector<SubjectNetwork> random_networks(const std::vector<int>& widths, int count, std::uint64_t seed = 1);
std::vector<const SubjectNetwork*> pointers_to(const std::vector<SubjectNetwork>& networks);

/// An editor of the workload's sizes without training, none of its heads at zero.
TrainedEditor random_editor(const Workload& workload, const Dataset& dataset, DType dtype = DType::float32,
                            Device device = Device::cpu());

/// Weights of the requirement from mild to strong, one a network.
std::vector<double> spread_lambda(const TrainedEditor& trained, int networks);

/// Everything a whole edit of a batch needs, in pieces of `chunk` networks; 0: at once.
class EditCase {
 public:
  EditCase(const Workload& workload, int batch, DType dtype = DType::float32, Device device = Device::cpu(),
           int chunk = 0);

  /// Weights on the host to edited weights on the host.
  std::vector<EditResult> run() { return editor_.edit_all(pointers_, lambda_, chunk_); }
  /// Edits the first piece from the host, so that its weights are on the device.
  void upload();
  /// After `upload`: from weights on the device to edited weights there, the first piece again for every piece. Queued
  /// on `stream()`.
  void run_on_device();

  Stream stream() const { return editor_.stream(); }
  /// Launches of kernels in an edit of one piece, when that was a graph.
  int launches() const { return editor_.launches(); }
  const Workload& workload() const { return workload_; }
  const TrainedEditor& trained() const { return trained_; }
  const std::vector<SubjectNetwork>& networks() const { return networks_; }
  const std::vector<double>& lambda() const { return lambda_; }
  const RowBatch& rows() const { return editor_.probe_rows(); }

 private:
  Workload workload_;
  int chunk_;
  Dataset dataset_;
  TrainedEditor trained_;
  std::vector<SubjectNetwork> networks_;
  std::vector<const SubjectNetwork*> pointers_;
  std::vector<double> lambda_;
  BatchEditor editor_;
};

/// Forward and backward pass of the editor's loss on a batch, in the trainer's shards; the first probes are cached, as
/// in training.
class TrainingCase {
 public:
  TrainingCase(const Workload& workload, int batch, Device device = Device::cpu());

  /// On a device the step is queued on `stream()`.
  void run();

  /// Of the last step; waits for it.
  double loss() const;
  Stream stream() const { return stream_; }
  /// Networks that are done at a time: of a shard's noise.
  int shard_networks() const { return shard_networks_; }
  /// Launches of kernels in a step, when that was a graph, without the sum of gradients.
  int launches() const { return shards_.front()->launches(); }
  const TensorView& grad() const { return grad_.view(); }  // (parameters), of the last step
  const TrainedEditor& trained() const { return trained_; }
  const std::vector<SubjectNetwork>& networks() const { return networks_; }
  const std::vector<double>& lambda() const { return lambda_; }
  const std::vector<double>& weight() const { return weight_; }  // of the networks' losses, of sum 1
  const RowSampler& sampler() const { return sampler_; }
  const ProbeCache& cache() const { return *cache_; }
  const EditorData& data() const { return data_; }
  RandomStream probe_stream() const { return RandomStream(1, 1); }
  RandomStream loss_stream() const { return RandomStream(1, 2); }

 private:
  Workload workload_;
  int shard_networks_;
  StreamOwner stream_;  // outlives all that works on it
  Dataset dataset_;
  TrainedEditor trained_;
  std::vector<SubjectNetwork> networks_;
  Arena fixed_;
  EditorData data_;
  RowSampler sampler_;
  std::unique_ptr<ProbeCache> cache_;
  std::vector<std::unique_ptr<TrainingStep>> shards_;
  std::vector<const LossTerms*> terms_;
  std::vector<int> picks_;
  std::vector<double> lambda_, weight_;
  Tensor grad_;
};

/// The K message layers alone, on given edge and node states, as an edit runs them: on the CPU networks in shards of a
/// few a thread, on a device all at once and, when that repeats, as a graph.
class MessageCase {
 public:
  MessageCase(const Workload& workload, int batch, DType dtype = DType::float32, Device device = Device::cpu());

  /// On a device the layers are queued on `stream()`.
  void run();

  Stream stream() const { return stream_; }
  int launches() const { return graphs_.kernels(); }
  const TrainedEditor& trained() const { return trained_; }
  const TensorView& edge() const { return edge_.view(); }            // (edges, D)
  const TensorView& node() const { return node_.view(); }            // (nodes, H)
  const TensorView& condition() const { return condition_.view(); }  // (networks, H)
  const TensorView& edge_out() const { return edge_out_; }           // of the last run
  const TensorView& node_out() const { return node_out_; }

 private:
  struct Shard {
    explicit Shard(Stream stream) : fixed(stream.device()), arena(stream.device()), tape(arena, stream) {}

    GraphBatch graph;
    Arena fixed, arena;  // the graph's table, and what a run needs
    Tape tape;
    std::int64_t first_network = 0;
  };
  /// States of edges and nodes after the layers.
  std::vector<TensorView> run_shard(Shard& shard);

  Workload workload_;
  StreamOwner stream_;  // outlives all that works on it
  Dataset dataset_;
  TrainedEditor trained_;
  std::vector<SubjectNetwork> networks_;
  std::vector<std::unique_ptr<Shard>> shards_;
  GraphCache graphs_;
  Tensor edge_, node_, condition_;
  Tensor host_edge_out_, host_node_out_;  // of the shards of a CPU
  TensorView edge_out_, node_out_;
};

}  // namespace amend::bench
