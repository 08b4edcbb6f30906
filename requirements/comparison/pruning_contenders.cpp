#include "requirements/comparison/pruning_contenders.hpp"

#include "requirements/baseline/pruning.hpp"
#include "requirements/comparison/baseline_epochs.hpp"
#include "requirements/comparison/budgets.hpp"

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

}  // namespace

void add_pruning_contenders(const ContenderData& data, const Wanted& wanted, std::vector<Contender>& contenders) {
  const std::vector<double> budgets = budgets_of(data);
  const std::vector<std::string> settings = budget_settings(data);
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
