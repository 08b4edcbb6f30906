#include "requirements/comparison/loaded_editor.hpp"

#include <utility>

#include "requirements/registry.hpp"

namespace amend {
namespace {

constexpr int kEditBatch = 64;

}  // namespace

LoadedEditor::LoadedEditor(const std::filesystem::path& file, const Dataset& dataset, Device device)
    : trained_(load_editor(file, make_requirements, device)), editor_(trained_, dataset) {}

std::vector<SubjectNetwork> LoadedEditor::edit(std::span<const SubjectNetwork* const> networks,
                                               std::span<const double> lambda) {
  std::vector<double> all;
  for (std::size_t n = 0; n < networks.size(); ++n) all.insert(all.end(), lambda.begin(), lambda.end());
  std::vector<SubjectNetwork> edited;
  for (EditResult& result : editor_.edit_all(networks, all, kEditBatch)) edited.push_back(std::move(result.network));
  return edited;
}

}  // namespace amend
