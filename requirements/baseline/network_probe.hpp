#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "metanet/data/dataset.hpp"
#include "metanet/data/subject_network.hpp"

namespace amend {

/// What the one-shot baselines need to know of a network; see kernels/probe.hpp for the definitions.
struct NetworkProbe {
  std::vector<float> fisher;            // (weights): centred diagonal Fisher, in the order of SubjectNetwork::weights
  std::vector<float> node_mean;         // (neurons), inputs first: mean of what the neuron passes on
  std::vector<float> node_rms;          // (neurons), inputs first: its root mean square
  std::vector<float> feature_saliency;  // (features): second-order divergence of replacing the feature by its mean
};

inline constexpr std::int64_t kProbeRows = 1000;

/// At most `limit` rows spread evenly over all of them: (result rows, inputs).
std::vector<float> spread_rows(const Rows& rows, int inputs, std::int64_t limit = kProbeRows);
/// The labels of the same rows.
std::vector<std::int32_t> spread_labels(const Rows& rows, std::int64_t limit = kProbeRows);

/// Probes networks of any shapes on the same rows, in chunks that bound memory. input (rows, inputs); `features` must
/// cover the inputs in order, or be empty (then feature_saliency is). Without `with_fisher` the Fisher stays empty, and
/// without features too only the forward pass is paid for. Throws Error when numbers or shapes do not fit.
std::vector<NetworkProbe> probe_networks(std::span<const SubjectNetwork* const> networks, std::span<const float> input,
                                         std::span<const Feature> features = {}, bool with_fisher = true);

/// Makes up in the biases for what the edited weights contribute less on average:
/// b'_i = b_i + sum_j (w_ij - w'_ij) mu_j, with mu `node_mean` of the original network. Reads the biases of `original`.
/// Throws Error when shapes differ.
void fold_mean(const SubjectNetwork& original, std::span<const float> node_mean, SubjectNetwork& edited);

}  // namespace amend
