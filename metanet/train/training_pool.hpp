#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "engine/arena.hpp"
#include "engine/graph_cache.hpp"
#include "engine/stream.hpp"
#include "engine/tensor.hpp"
#include "metanet/graph/graph_batch.hpp"
#include "metanet/train/batch_optimiser.hpp"
#include "metanet/train/population_plan.hpp"

namespace amend {

/// Rows that networks are trained or measured on.
struct TrainingRows {
  /// `stream`: of the device that the networks run on.
  TrainingRows(const Rows& rows, int inputs, Stream stream = {});

  Tensor input;                     // (count, inputs), on the device
  std::uint64_t input_id;           // see kernels::SubjectForward
  std::vector<std::int32_t> label;  // (count)

  std::int64_t count() const { return input.view().extent(0); }
};

/// Accuracy of every network on `rows`, 0 to 1: the class with the largest logit counts, the first among equals.
std::vector<double> accuracies(const std::vector<const SubjectNetwork*>& networks, const TrainingRows& rows,
                               Stream stream);

/// Networks that are trained together: one ragged batch, one step of AdamW for all. A network that is done leaves and
/// another takes its place, so that no work is spent on finished ones.
class TrainingPool {
 public:
  /// The arguments outlive the pool. `rows` are those of subject_train.
  TrainingPool(const PopulationConfig& config, const Dataset& dataset, const TrainingRows& rows, Stream stream);

  /// What became of a run: its snapshots in order, then the network.
  struct Result {
    const TrainingPlan* plan = nullptr;
    std::vector<SubjectNetwork> networks;
  };

  /// Takes up new runs.
  void admit(const std::vector<const TrainingPlan*>& plans);
  /// One step of every network; returns whether a run is done. Allocates nothing unless a snapshot falls due; on a
  /// device it is a graph, from the second step of a batch on. Throws InputError that names run, step and learning rate
  /// when a loss is not finite; on a device losses are looked at now and then.
  bool step();
  /// Removes the runs that are done and returns them.
  std::vector<Result> take_finished();

  int size() const { return static_cast<int>(members_.size()); }
  /// Weights of all networks in training: what a step costs.
  std::int64_t weight_count() const { return graph_.table().edge_count; }

 private:
  struct Member {
    Result result;
    // Current only while the batch is built anew; in between the state is in the tensors below.
    SubjectNetwork network, first_moment, second_moment;
    std::vector<std::int32_t> rows;  // of subject_train
    std::int64_t step = 0;

    bool done() const { return step == result.plan->steps; }
  };
  void write_back();
  void build();
  void prepare(std::int64_t index);
  bool looks_at_losses() const;
  void check_losses() const;
  TensorView stage_feature_mask();
  void compute();
  bool advance();

  const PopulationConfig* config_;
  const Dataset* dataset_;
  const TrainingRows* rows_;
  Stream stream_;
  std::vector<Member> members_;
  GraphBatch graph_;
  Arena arena_;  // of a batch
  Arena step_;   // what a step takes from the host
  BatchOptimiser optimiser_;
  TensorView feature_mask_;          // (edges): 0 at weights of unused features; absent: all are used
  Arena::Staged row_index_, label_;  // (networks, batch)
  BatchOptimiser::Rates rates_;
  TensorView schedule_;                   // of AdamW
  TensorView activation_, slope_;         // (hidden nodes, batch)
  TensorView logits_, grad_logits_;       // (networks, batch, classes)
  TensorView class_weight_;               // (networks, classes)
  TensorView loss_, grad_loss_;           // (networks)
  std::optional<GraphCache> step_graph_;  // of the batch as it is: its memory is in the graph
  std::int64_t steps_ = 0;
};

}  // namespace amend
