#pragma once

#include <memory>
#include <string>
#include <vector>

#include "autograd/parameter_set.hpp"
#include "metanet/data/population.hpp"
#include "metanet/train/editor_data.hpp"
#include "metanet/train/row_sampler.hpp"
#include "metanet/train/trained_editor.hpp"

namespace amend {

/// The first probe of every network of a training run, taken once: it does not change.
class ProbeCache {
 public:
  /// Probes networks on `rows`, in batches.
  ProbeCache(const Editor& editor, const EditorData& data, std::vector<const SubjectNetwork*> networks, RowBatch rows);

  /// The probe of a batch, by index of network, in memory of `arena`; without logits.
  BatchProbe gather(const kernels::BlockTable& table, std::span<const int> picks, const Editor& editor,
                    Arena& arena) const;

  const std::vector<const SubjectNetwork*>& networks() const { return networks_; }

 private:
  struct Entry {
    std::vector<float> fisher, gradient;                                    // (edges)
    std::vector<float> fisher_bias, mean, rms, correlation, gradient_bias;  // (nodes)
    std::vector<float> saliency, unique_saliency;                           // (features)
  };

  std::vector<const SubjectNetwork*> networks_;
  std::vector<Entry> entry_;
};

/// The loss of a batch and the terms it is made of, per network.
struct LossTerms {
  Variable total;                                  // (1)
  std::vector<Variable> divergence;                // per pass: (networks)
  std::vector<std::vector<Variable>> requirement;  // per pass, per requirement: (networks)
};

/// Networks of a batch that one thread takes from their features to their gradients. Cuts depend on the batch alone, so
/// that sums come out the same for any number of threads.
inline constexpr int kShardNetworks = 4;

/// Weight of every network's loss: the geometric mean of its weights in force, to the power -balance. lambda (networks,
/// requirements) row-major -> (networks).
void loss_weights(std::span<const double> lambda, std::size_t requirements, double balance,
                  std::vector<double>& weight);

/// Builds losses, of training and validation, for the networks of one shard. Everything a step needs lives in its
/// arena; a steady-state step allocates nothing.
class TrainingStep {
 public:
  /// The arguments outlive this.
  TrainingStep(const TrainedEditor& trained, const EditorData& data, const ProbeCache& cache);

  struct Batch {
    std::span<const int> picks;      // networks of the cache
    std::span<const double> lambda;  // (picks, requirements) row-major
    std::span<const double> weight;  // (picks): of each network's loss, over all shards adding up to 1
    const RowSampler* probe_sampler;
    const RowSampler* loss_sampler;
    RandomStream probe_stream, loss_stream;
    std::int64_t probe_rows, probe_cell_rows, rows, cell_rows;
    bool training;
    std::uint32_t step, shard;
  };
  /// Runs editor and loss; when training, also adds the gradient of the parameters to `grad()`, cleared first.
  const LossTerms& run(const Batch& batch);

  const TensorView& grad() const { return grad_.view(); }  // (parameters)

 private:
  void add_loss(Variable term, double scale, std::int64_t requirement);
  TensorView coefficients(double scale);
  void add_feature_slope(const EditorInputs& inputs, const EditorPass& pass, const RowBatch& rows,
                         const TensorView& original, Variable divergence, double scale);

  const TrainedEditor* trained_;
  const EditorData* data_;
  const ProbeCache* cache_;
  Arena arena_;
  Tape tape_, inner_;
  Tensor grad_;
  GraphBatch graph_;
  std::vector<const SubjectNetwork*> networks_;
  std::vector<EditorPass> passes_;
  const Batch* batch_ = nullptr;
  LossTerms terms_;
};

}  // namespace amend
