#include "requirements/baseline/retraining.hpp"

#include "engine/error.hpp"
#include "metanet/train/population_plan.hpp"

namespace amend {

std::vector<SubjectNetwork> untrained_like(std::span<const SubjectNetwork* const> networks, const Dataset& dataset,
                                           std::span<const std::vector<std::uint8_t>> uses, std::uint64_t seed) {
  check(uses.size() == networks.size(), "untrained_like", "got marks of ", uses.size(), " networks for ",
        networks.size());
  PopulationConfig config;
  config.seed = seed;
  std::vector<SubjectNetwork> result;
  for (std::size_t n = 0; n < networks.size(); ++n) {
    const SubjectNetwork& network = *networks[n];
    check(uses[n].size() == dataset.features.size() && network.widths.front() == dataset.inputs, "untrained_like",
          "network `", network.name, "` has ", network.widths.front(), " inputs and ", uses[n].size(),
          " marks, the dataset ", dataset.inputs, " and ", dataset.features.size());
    TrainingPlan plan;
    plan.run = static_cast<int>(n);
    plan.name = network.run;
    plan.widths = network.widths;
    plan.activation = network.activation;
    plan.init_scale = 1.0;
    plan.uses_feature = uses[n];
    SubjectNetwork fresh = initial_network(config, dataset, plan);
    fresh.name = network.name;
    result.push_back(std::move(fresh));
  }
  return result;
}

}  // namespace amend
