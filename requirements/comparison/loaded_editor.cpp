#include "requirements/comparison/loaded_editor.hpp"

#include <algorithm>
#include <utility>

#include "metanet/train/budgeted_edit.hpp"
#include "requirements/registry.hpp"

namespace amend {
namespace {

constexpr std::size_t kEditBatch = 64;

TrainedEditor load_with_probes(const std::filesystem::path& file, Device device, std::int64_t rows) {
  TrainedEditor trained = load_editor(file, make_requirements, device);
  if (rows > 0) trained.probe_with(rows);
  return trained;
}

}  // namespace

LoadedEditor::LoadedEditor(const std::filesystem::path& file, const Dataset& dataset, Device device,
                           std::int64_t probe_rows)
    : trained_(load_with_probes(file, device, probe_rows)), editor_(trained_, dataset) {}

std::vector<SubjectNetwork> LoadedEditor::edit(std::span<const SubjectNetwork* const> networks,
                                               std::span<const double> lambda) {
  return edit_to_budget(networks, lambda, std::vector<double>(lambda.size(), kNoBudget));
}

std::vector<SubjectNetwork> LoadedEditor::edit_to_budget(std::span<const SubjectNetwork* const> networks,
                                                         std::span<const double> lambda,
                                                         std::span<const double> budget) {
  std::vector<SubjectNetwork> edited;
  for (std::size_t first = 0; first < networks.size(); first += kEditBatch) {
    const auto batch = networks.subspan(first, std::min(kEditBatch, networks.size() - first));
    std::vector<double> weights, budgets;
    for (std::size_t n = 0; n < batch.size(); ++n) {
      weights.insert(weights.end(), lambda.begin(), lambda.end());
      budgets.insert(budgets.end(), budget.begin(), budget.end());
    }
    for (EditResult& result : amend::edit_to_budget(editor_, trained_, batch, weights, budgets))
      edited.push_back(std::move(result.network));
  }
  return edited;
}

}  // namespace amend
