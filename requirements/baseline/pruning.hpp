#pragma once

#include <span>
#include <vector>

#include "metanet/data/subject_network.hpp"
#include "requirements/baseline/network_probe.hpp"

namespace amend {

/// Divergence that removing each weight costs when its mean is folded into the bias: w^2 F / 8 with the centred
/// diagonal Fisher F (optimal brain damage: LeCun, Denker, Solla, NIPS 1989). (weights).
std::vector<double> removal_costs(const SubjectNetwork& network, const NetworkProbe& probe);

/// Weights that a budget keeps: round(share * weights) of one network.
std::int64_t kept_weights(const SubjectNetwork& network, double share_nonzero);

/// Optimal brain damage with bias folding: of every network the `share_nonzero` of weights with the largest removal
/// costs over all its layers stays, exactly as many as `kept_weights` says (fewer only where a network has fewer
/// non-zero weights); ties keep the larger weight, then the earlier. input (rows, inputs): probe rows, see
/// `spread_rows`. Throws Error unless 0 <= share_nonzero <= 1.
std::vector<SubjectNetwork> obd_prune(std::span<const SubjectNetwork* const> networks, std::span<const float> input,
                                      double share_nonzero);

/// The same budget for the weights of largest magnitude, over all layers, without data and without folding.
std::vector<SubjectNetwork> magnitude_prune(std::span<const SubjectNetwork* const> networks, double share_nonzero);

}  // namespace amend
