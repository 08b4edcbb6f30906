#pragma once

#include <string>
#include <utility>
#include <vector>

#include "autograd/parameter_set.hpp"
#include "metanet/train/editor_config.hpp"

namespace amend {

/// AdamW on the parameters of an editor, with their moving average, which is what is delivered, and the best average so
/// far. All of it lives on the device of the parameters.
class EditorOptimiser {
 public:
  /// The arguments outlive this. `stream`: of the device of the parameters.
  EditorOptimiser(ParameterSet& parameters, const EditorConfig& config, Stream stream);

  /// What a step takes from the host.
  struct Plan {
    TensorView learning_rate;  // (tensors of the parameters) float64
    TensorView schedule;       // see kernels::adamw_schedule
  };
  /// Of step `done` + 1 of the training, staged in `arena`.
  Plan plan(std::int64_t done, Arena& arena) const;
  /// Takes the step along `grad`, (parameters). Its launches are the same every time: it can be captured.
  void step(const TensorView& grad, const Plan& plan);
  /// (1): norm of the gradient of the last step.
  const TensorView& norm() const { return norm_.view(); }

  /// Puts the average in the place of the parameters, and the parameters back.
  void swap_in_average();
  void swap_back();
  /// Remembers the average as the best, and puts the best in the place of the parameters.
  void keep_average();
  void deliver_best();

  /// All of its state by name, the parameters included, in host memory.
  std::vector<std::pair<std::string, Tensor>> state() const;
  void set_state(const std::vector<std::pair<std::string, Tensor>>& state);

 private:
  std::vector<std::pair<std::string, TensorView>> tensors() const;

  ParameterSet* parameters_;
  const EditorConfig* config_;
  Stream stream_;
  Tensor first_, second_, average_, best_, backup_, norm_, squares_, decay_;
};

/// What the steps of a training lost, and the norms of their gradients. On a device these numbers stay there until
/// somebody asks for them.
class LossHistory {
 public:
  LossHistory(std::int64_t capacity, Stream stream);

  /// Numbers of the next step: (1) each. Throws Error beyond `capacity` steps between two calls of `take`.
  void add(const TensorView& loss, const TensorView& norm);
  bool full() const { return count_ == entries_.view().extent(0); }
  struct Entry {
    double loss, norm;
  };
  /// Those of the steps since the last call, in order; waits for the device.
  std::vector<Entry> take();

 private:
  Stream stream_;
  Tensor entries_;  // (capacity, 2)
  std::int64_t count_ = 0;
};

}  // namespace amend
