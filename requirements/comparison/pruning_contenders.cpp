#include "requirements/comparison/pruning_contenders.hpp"

#include <fmt/format.h>

#include "requirements/baseline/pruning.hpp"
#include "requirements/comparison/baseline_epochs.hpp"

namespace amend {
namespace {

struct Score {
  const char* name;
  const char* title;
  PruningMethod method;
};

const std::vector<Score>& scores() {
  static const std::vector<Score> list{
      {"magnitude", "magnitude", {WeightScore::magnitude, PruningScope::network, false}},
      {"magnitude_fold", "magnitude + fold", {WeightScore::magnitude, PruningScope::network, true}},
      {"layer_magnitude_fold", "magnitude per layer + fold", {WeightScore::magnitude, PruningScope::layer, true}},
      {"wanda_fold", "Wanda + fold", {WeightScore::wanda, PruningScope::network, true}},
      {"obd_fold", "OBD + fold", {WeightScore::obd, PruningScope::network, true}},
  };
  return list;
}

const std::vector<double>& default_budgets() {
  static const std::vector<double> shares{0.6, 0.5, 0.4, 0.3, 0.22, 0.16, 0.1, 0.07, 0.05, 0.03, 0.02, 0.01};
  return shares;
}

}  // namespace

void add_pruning_contenders(const ContenderData& data, const Wanted& wanted, std::vector<Contender>& contenders) {
  const std::vector<double> budgets = data.table->budgets.empty() ? default_budgets() : data.table->budgets;
  std::vector<std::string> settings;
  for (const double share : budgets) settings.push_back(fmt::format("{:g}% of the weights", 100.0 * share));
  for (const Score& score : scores()) {
    const NetworkMethod prune_all = [&data, budgets, method = score.method](const Networks& networks,
                                                                            std::size_t setting) {
      return prune(networks, data.probe_rows, budgets[setting], method);
    };
    if (wanted(score.name))
      contenders.push_back(network_contender(score.name, score.title, MethodKind::one_shot, settings, prune_all));
    if (!score.method.fold) continue;  // training adapts the biases anyway, and from a better start
    add_with_epochs(data, wanted, score.name, score.title, settings, prune_all, contenders);
  }
}

std::vector<std::string> pruning_baselines() {
  std::vector<std::string> names;
  for (const Score& score : scores()) {
    names.push_back(score.name);
    if (score.method.fold) names.push_back(std::string(score.name) + "_tuned");
  }
  return names;
}

}  // namespace amend
