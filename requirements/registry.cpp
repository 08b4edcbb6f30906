#include "requirements/registry.hpp"

#include "engine/error.hpp"
#include "metanet/data/config.hpp"
#include "requirements/objective/fairness.hpp"
#include "requirements/objective/sparsity.hpp"

namespace amend {

namespace {

const Requirements& all() {
  static const Requirements list{
      std::make_shared<Pruning>(),       std::make_shared<NeuronPruning>(),    std::make_shared<DataMinimisation>(),
      std::make_shared<EqualisedOdds>(), std::make_shared<EqualOpportunity>(), std::make_shared<DemographicParity>(),
  };
  return list;
}

}  // namespace

std::vector<std::string> requirement_names() {
  std::vector<std::string> names;
  for (const auto& requirement : all()) names.push_back(requirement->name());
  return names;
}

Requirements make_requirements(const std::vector<std::string>& names, const std::string& where) {
  Requirements result;
  for (const std::string& name : names) {
    const std::size_t before = result.size();
    for (const auto& requirement : all())
      if (requirement->name() == name) result.push_back(requirement);
    if (result.size() == before)
      fail_input(where, "unknown requirement `", name, "`; did you mean `", nearest_name(name, requirement_names()),
                 "`?");
  }
  return result;
}

}  // namespace amend
