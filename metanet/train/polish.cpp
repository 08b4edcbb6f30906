#include "metanet/train/polish.hpp"

#include <utility>

#include "engine/error.hpp"

namespace amend {

FineTuning polishing(const TrainedEditor& trained, const Dataset& dataset, std::int64_t steps) {
  FineTuning tuning{.steps = steps};
  for (const auto& requirement : trained.editor->requirements())
    if (requirement->reads_groups()) tuning.requirements.push_back(requirement);
  if (!tuning.requirements.empty()) tuning.sensitive = trained.sensitive_on(dataset);
  return tuning;
}

void polish(std::span<EditResult> edits, std::span<const SubjectNetwork* const> originals,
            std::span<const double> lambda, const TrainedEditor& trained, const Dataset& dataset, std::int64_t steps) {
  const Requirements& all = trained.editor->requirements();
  check(edits.size() == originals.size() && lambda.size() == edits.size() * all.size(), "polish", "got ", edits.size(),
        " edits, ", originals.size(), " originals and ", lambda.size(), " lambdas of ", all.size(), " requirements");
  std::vector<const SubjectNetwork*> networks;
  std::vector<double> on_groups;
  for (std::size_t n = 0; n < edits.size(); ++n) {
    networks.push_back(&edits[n].network);
    for (std::size_t r = 0; r < all.size(); ++r)
      if (all[r]->reads_groups()) on_groups.push_back(lambda[n * all.size() + r]);
  }
  auto polished = fine_tune(networks, originals, dataset, dataset.editor_train, polishing(trained, dataset, steps),
                            on_groups, trained.editor->device());
  for (std::size_t n = 0; n < edits.size(); ++n) edits[n].network = std::move(polished[n]);
}

}  // namespace amend
