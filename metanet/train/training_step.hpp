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
  ProbeCache(const Editor& editor, const EditorData& data, std::vector<const SubjectNetwork*> networks, const RowBatch& rows);

  /// The probe of a batch, by index of network, in memory of `arena`; without logits.
  BatchProbe gather(const kernels::BlockTable& table, std::span<const int> picks, const Editor& editor, Arena& arena) const;

  const std::vector<const SubjectNetwork*>& networks() const { return networks_; }

 private:
  struct Entry {
    std::vector<float> fisher, gradient;                                    // (edges)
    std::vector<float> fisher_bias, mean, rms, correlation, gradient_bias;  // (nodes)
    std::vector<float> saliency;                                            // (features)
  };

  std::vector<const SubjectNetwork*> networks_;
  std::vector<Entry> entry_;
};

/// The loss of a batch and the terms it is made of, per network.
struct LossTerms {
  Variable total;                      // (1)
  std::vector<Variable> divergence;    // per pass: (networks)
  std::vector<std::vector<Variable>> requirement;  // per pass, per requirement: (networks)
};

/// Builds the batches and losses of training and validation. Everything a step needs lives in its arena; a steady-state
/// step allocates nothing.
class TrainingStep {
 public:
  /// The arguments outlive this.
  TrainingStep(TrainedEditor& trained, const EditorData& data, const ProbeCache& cache);

  /// Runs editor and loss on the networks `picks` of the cache: `lambda` (picks, requirements) row-major, probes on rows
  /// drawn by `probe_rows`, the loss on rows drawn by `loss_rows`. `tape` is reset first.
  struct Batch {
    std::span<const int> picks;
    std::span<const double> lambda;
    const RowSampler* probe_sampler;
    const RowSampler* loss_sampler;
    RandomStream probe_stream, loss_stream;
    std::int64_t probe_rows, probe_cell_rows, rows, cell_rows;
    bool training;
    std::uint32_t step;
  };
  const LossTerms& run(const Batch& batch);

  Tape& tape() { return tape_; }
  Arena& arena() { return arena_; }
  /// lambda^-balance of every network of the last batch.
  std::span<const double> weights() const { return weight_; }

 private:
  void add_loss(Variable term, double scale, std::int64_t requirement);

  TrainedEditor* trained_;
  const EditorData* data_;
  const ProbeCache* cache_;
  Arena arena_;
  Tape tape_;
  GraphBatch graph_;
  std::vector<const SubjectNetwork*> networks_;
  std::vector<EditorPass> passes_;
  std::vector<double> weight_;
  std::span<const double> lambda_;
  LossTerms terms_;
};

}  // namespace amend
