#pragma once

#include <span>
#include <vector>

#include "metanet/train/editor_data.hpp"

namespace amend {

/// The networks of a training run and their first probes, taken once: they do not change. All of it stays on the
/// device.
class ProbeCache {
 public:
  /// Probes networks on `rows`, in batches. `stream`: of the device that holds the arguments.
  ProbeCache(const Editor& editor, const EditorData& data, std::vector<const SubjectNetwork*> networks, RowBatch rows,
             Stream stream = {});

  /// Where the networks of a batch begin in the tensors below: staged.
  struct Picks {
    const std::int64_t *edge, *node, *feature;  // (picks)
  };
  Picks stage(std::span<const int> picks, Arena& arena) const;
  /// Fills in weight, bias and probe (without logits) of the picks of a batch, uploaded, in memory of `arena`.
  void gather(const Picks& picks, EditorInputs& inputs, Arena& arena, Stream stream) const;

  const std::vector<const SubjectNetwork*>& networks() const { return networks_; }

 private:
  std::vector<const SubjectNetwork*> networks_;
  std::vector<std::int64_t> edge_, node_;  // (networks + 1): where each begins
  std::int64_t features_ = 0;
  bool gradients_ = false;
  Tensor edges_;       // (planes, edges): weight, fisher and, with requirements on groups, the gradient
  Tensor nodes_;       // (planes, nodes): bias, fisher, mean, rms, correlation and the gradient
  Tensor saliencies_;  // (2, networks * features): by the mean and unique; absent without feature gates
};

}  // namespace amend
