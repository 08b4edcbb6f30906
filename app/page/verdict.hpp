#pragma once

#include <string>

#include "requirements/comparison/comparison.hpp"

namespace amend::page {

enum class Outcome {
  alone,     // there is nothing to hold the editor against
  wins,      // ahead of every other method
  unbeaten,  // no method is ahead of it, but not all are behind
  loses,     // at least one is ahead
};

/// What hypervolumes say of the editor. A method is ahead when the 95% interval of the paired difference excludes zero;
/// from a single network nothing follows.
struct Verdict {
  Outcome outcome = Outcome::alone;
  std::string brief;     // `ahead of all 9`, `loses to 2 of 9`
  std::string sentence;  // plain text, one or more sentences with names and numbers
};

/// By divergence (methods without it are left out) or by accuracy. The editor followed by training is not held against
/// itself.
Verdict verdict_of(const ComparisonTable& table, bool divergence);

/// The volume of `method` that decides, null where it has none.
const ComparedVolume* volume_of(const ComparedMethod& method, bool divergence);

}  // namespace amend::page
