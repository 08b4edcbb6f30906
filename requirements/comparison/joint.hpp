#pragma once

#include <vector>

#include "requirements/comparison/comparison.hpp"
#include "requirements/comparison/contender.hpp"

namespace amend {

/// One editor for all requirements against one editor each, applied one after the other in the order given and in the
/// reverse one: an editor in a sequence takes what the one before it made for its original, as a user's would. Every
/// requirement's strength stands for the same lambda everywhere, that of the combined editor. Throws InputError when an
/// editor lacks its requirement.
std::vector<ComparedJoint> compare_jointly(const ContenderData& data, const JointConfig& config,
                                           const Networks& networks);

}  // namespace amend
