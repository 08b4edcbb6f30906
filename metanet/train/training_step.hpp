#pragma once

#include <memory>
#include <string>
#include <vector>

#include "autograd/parameter_set.hpp"
#include "engine/graph_cache.hpp"
#include "metanet/data/population.hpp"
#include "metanet/train/editor_data.hpp"
#include "metanet/train/editor_optimiser.hpp"
#include "metanet/train/probe_cache.hpp"
#include "metanet/train/row_sampler.hpp"
#include "metanet/train/trained_editor.hpp"

namespace amend {

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
  /// `trained` outlives this. `stream`: of the device that holds them all. There, between the draws and the
  /// gradient, nothing comes back to the host and nothing is waited for, and a step whose shapes repeat is a graph.
  explicit TrainingStep(const TrainedEditor& trained, Stream stream = {});

  struct Batch {
    const EditorData* data;          // of the dataset that the batch is on: these and the samplers outlive the step
    const ProbeCache* cache;         // of networks on it
    std::span<const int> picks;      // networks of the cache
    std::span<const double> lambda;  // (picks, requirements) row-major
    std::span<const double> weight;  // (picks): of each network's loss, over all shards adding up to 1
    const RowSampler* probe_sampler;
    const RowSampler* loss_sampler;
    RandomStream probe_stream, loss_stream;
    std::int64_t probe_rows, probe_cell_rows, rows, cell_rows;
    bool training;
    std::uint32_t step, shard;
    EditorOptimiser* optimiser = nullptr;  // of a training in one shard: takes its step along `grad()`
  };
  /// Runs editor and loss; when training, also writes the gradient of the parameters to `grad()` and runs the
  /// optimiser.
  const LossTerms& run(const Batch& batch);

  const TensorView& grad() const { return grad_.view(); }  // (parameters)
  /// Bytes that the steps so far have taken up.
  std::size_t memory() const { return arena_.capacity(); }
  /// Launches of kernels in the last step, when that was a graph.
  int launches() const { return graphs_.kernels(); }

 private:
  /// What the host draws and writes for a step: staged, and uploaded at once.
  struct Plan {
    EditorInputs inputs;
    ProbeCache::Picks picks;
    RowDraw probe_rows, loss_rows;
    TensorView coefficient;  // (passes, kinds, networks): see `coefficient`
    ChebyshevScales chebyshev;
    EditorOptimiser::Plan optimiser;
  };
  Plan plan(const Batch& batch);
  void compute(const Batch& batch, Plan& plan);
  GraphCache::Key key(const Batch& batch) const;
  std::vector<TensorView> results() const;
  void set_terms(const std::vector<TensorView>& results);
  TensorView stage_coefficients(const Batch& batch);
  TensorView coefficient(const Plan& plan, std::size_t pass, std::size_t kind) const;
  void add_loss(Variable term, const TensorView& coefficient);
  TensorView add_chebyshev(const Plan& plan, std::size_t pass);
  void add_feature_slope(const EditorInputs& inputs, const EditorPass& pass, const RowBatch& rows,
                         const TensorView& original, Variable divergence, const TensorView& coefficient);

  const TrainedEditor* trained_;
  Arena arena_;
  Tape tape_, inner_;
  Tensor grad_;
  GraphBatch graph_;
  std::vector<const SubjectNetwork*> networks_;
  std::vector<EditorPass> passes_;
  LossTerms terms_;
  std::vector<Variable> chebyshev_terms_;
  GraphCache graphs_;
};

}  // namespace amend
