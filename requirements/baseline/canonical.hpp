#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "metanet/data/subject_network.hpp"

namespace amend {

/// The one network that stands in best for all.
struct CanonicalReplacement {
  int index = -1;                       // among the candidates
  double divergence = 0.0;              // mean over the originals, nats, on the rows it was chosen on
  std::vector<double> mean_divergence;  // (candidates): the same for every candidate
};

/// Answers whether edits are more than 'write the population's canonical network': the candidate (an edited network of
/// the training split) with the least mean Jensen-Shannon divergence to all originals (held out), the first of equals.
/// input (rows, inputs) of the validation split, so that audit rows measure the choice without having made it.
/// Throws Error when there are no candidates, originals or rows.
CanonicalReplacement canonical_replacement(std::span<const SubjectNetwork* const> candidates,
                                           std::span<const SubjectNetwork* const> originals,
                                           std::span<const float> input);

/// How specific edits are to their networks: mean Jensen-Shannon divergences in nats.
struct Specificity {
  double own = 0.0;              // of each original to its own edit
  double cross = 0.0;            // of each original to the edits of the others
  double best_canonical = 0.0;   // of all originals to the one edit of them that stands in best
  int best_index = -1;           // which that is
  double among_edited = 0.0;     // over pairs of different edited networks
  double among_originals = 0.0;  // over pairs of different originals
};

/// `edited[n]` is the edit of `originals[n]`; at least two of them. input (rows, inputs).
Specificity specificity(std::span<const SubjectNetwork* const> originals, std::span<const SubjectNetwork* const> edited,
                        std::span<const float> input);

}  // namespace amend
