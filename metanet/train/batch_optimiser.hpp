#pragma once

#include <cstdint>
#include <span>

#include "engine/arena.hpp"
#include "kernels/kernel.hpp"
#include "metanet/graph/graph_batch.hpp"

namespace amend {

/// A number for every weight and bias of the networks of a batch, float32, in one buffer.
struct BatchValues {
  TensorView all;     // weights, padding, biases
  TensorView weight;  // (edges)
  TensorView bias;    // (nodes)
};

/// AdamW on the weights and biases of the networks of a batch, each network at rates of its own: one kernel for all.
class BatchOptimiser {
 public:
  using Networks = std::span<const SubjectNetwork* const>;

  BatchOptimiser() = default;
  /// Starts from the values of `networks`, those of `graph`, and from moments that have the shape of networks too;
  /// absent: zeros. All of it is staged or lies in `arena`, which is to be uploaded.
  BatchOptimiser(const GraphBatch& graph, Arena& arena, Stream stream, Networks networks, Networks first_moment = {},
                 Networks second_moment = {});

  const BatchValues& value() const { return value_; }
  const BatchValues& grad() const { return grad_; }  // uninitialised
  const BatchValues& first_moment() const { return first_moment_; }
  const BatchValues& second_moment() const { return second_moment_; }

  /// Values in host memory: those of the CPU themselves, or a copy, for which this waits.
  struct HostValues {
    BatchValues values;
    Tensor copy;
  };
  HostValues on_host(const BatchValues& values, Stream stream) const;

  /// What a step takes from the host, staged: to be set for every network, and uploaded.
  struct Rates {
    Arena::Staged learning_rate, weight_decay;  // (2 networks) float64: for the weights, then for the biases

    /// Biases do not decay.
    void set(std::int64_t network, double rate, double decay) const;
  };
  Rates stage_rates(Arena& arena) const;
  /// A step along `grad()`. schedule: see kernels::adamw_schedule.
  void step(const Rates& rates, const TensorView& schedule, Stream stream) const;

 private:
  BatchValues split(const TensorView& all) const;
  Arena::Staged gather(const GraphBatch& graph, Networks networks, Arena& arena) const;

  std::int64_t edges_ = 0, nodes_ = 0, first_bias_ = 0;
  kernels::Segments segments_;  // weights of every network, then biases
  BatchValues value_, grad_, first_moment_, second_moment_;
};

}  // namespace amend
