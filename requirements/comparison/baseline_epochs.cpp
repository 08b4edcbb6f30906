#include "requirements/comparison/baseline_epochs.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace amend {

std::string epochs_text(double epochs) { return fmt::format("{:g} epoch{}", epochs, epochs == 1.0 ? "" : "s"); }

void add_with_epochs(const ContenderData& data, const Wanted& wanted, const std::string& name, const std::string& title,
                     const std::vector<std::string>& settings, const NetworkMethod& start,
                     std::vector<Contender>& contenders) {
  if (!wanted(name + "_tuned") || data.config->fine_tuning_epochs.empty()) return;
  const auto add = [&](double epochs, FineTuningTarget target, const std::string& towards) {
    contenders.push_back(tuned_contender(
        data, fmt::format("{}_{:g}_epochs{}", name, epochs, target == FineTuningTarget::labels ? "_labels" : ""),
        fmt::format("{}, {}{}", title, epochs_text(epochs), towards), MethodKind::fine_tuned, settings, start,
        {.target = target, .steps = data.steps(epochs)}));
  };
  const auto& all = data.config->fine_tuning_epochs;
  for (const double epochs : all) add(epochs, FineTuningTarget::original, "");
  add(*std::max_element(all.begin(), all.end()), FineTuningTarget::labels, " on labels");
}

}  // namespace amend
