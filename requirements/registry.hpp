#pragma once

#include <string>
#include <vector>

#include "metanet/model/requirement.hpp"

namespace amend {

/// Names of all requirements.
std::vector<std::string> requirement_names();

/// Requirements by name. Throws InputError that begins with `where` and names the nearest known one.
Requirements make_requirements(const std::vector<std::string>& names, const std::string& where);

}  // namespace amend
