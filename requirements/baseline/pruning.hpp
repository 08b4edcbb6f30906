#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "metanet/data/subject_network.hpp"
#include "requirements/baseline/network_probe.hpp"

namespace amend {

/// How a weight's worth to a network is told.
enum class WeightScore : std::uint8_t {
  magnitude,  // |w|
  wanda,      // |w_ij| rms(a_j) with the source's outputs a_j
  obd,        // w^2 F / 8 with the centred diagonal Fisher F
};

/// What a budget is for.
enum class PruningScope : std::uint8_t {
  network,  // the best weights of the network, in whatever layers they are
  layer,    // the same share of every layer
};

struct PruningMethod {
  WeightScore score = WeightScore::obd;
  PruningScope scope = PruningScope::network;
  bool fold = true;  // what the weights contributed on average goes into the biases: see fold_mean

  /// Whether the method looks at rows at all.
  bool needs_data() const { return fold || score != WeightScore::magnitude; }
};

/// Scores of the weights, in the order of SubjectNetwork::weights. Throws Error when the probe, which magnitudes do not
/// need, is of another shape.
///
/// `wanda`: Sun, Liu, Bair, Kolter, *A Simple and Effective Pruning Approach for Large Language Models*, ICLR 2024
/// (arXiv 2306.11695), with |w_ij| ||a_j||_2 / sqrt(rows), which ranks alike. It is Wanda-like: the paper compares
/// weights within one output neuron, so that all keep the same share, and prunes layer after layer on activations of
/// the already pruned ones; here a budget spans the network or a layer and all activations are the original's. `obd`:
/// optimal brain damage, LeCun, Denker, Solla, NIPS 1989: the divergence in nats that removing the weight costs when
/// its mean is folded into the bias.
std::vector<double> weight_scores(const SubjectNetwork& network, const NetworkProbe& probe, WeightScore score);

/// Weights that a budget keeps: round(share * weights). Throws Error unless 0 <= share <= 1.
std::int64_t kept_weights(std::int64_t weights, double share_nonzero);

/// Prunes the same networks to any number of budgets; scores them once. The networks must outlive it.
class Pruner {
 public:
  /// input (rows, inputs): probe rows, see `spread_rows`. May be empty when the method needs no data; otherwise throws
  /// Error without rows.
  Pruner(std::span<const SubjectNetwork* const> networks, std::span<const float> input, const PruningMethod& method);

  /// Of every network, or of each of its layers, the `share_nonzero` of weights with the largest scores stays, exactly
  /// as many as `kept_weights` says (fewer only where there are fewer non-zero weights); ties keep the larger weight,
  /// then the earlier. Throws Error unless 0 <= share_nonzero <= 1.
  std::vector<SubjectNetwork> prune(double share_nonzero) const;

 private:
  std::vector<const SubjectNetwork*> networks_;
  PruningMethod method_;
  std::vector<std::vector<double>> score_;     // (networks)(weights)
  std::vector<std::vector<float>> node_mean_;  // (networks)(neurons), empty unless folding
};

/// One budget of a `Pruner`.
std::vector<SubjectNetwork> prune(std::span<const SubjectNetwork* const> networks, std::span<const float> input,
                                  double share_nonzero, const PruningMethod& method);

}  // namespace amend
