#pragma once

#include <filesystem>
#include <span>
#include <vector>

#include "metanet/train/batch_editor.hpp"
#include "metanet/train/trained_editor.hpp"

namespace amend {

/// An editor of a file, ready for its dataset. It stays where it is: the batch editor refers to the trained one.
class LoadedEditor {
 public:
  /// probe_rows: of every edit; 0: as it was trained. Throws InputError when the file holds no editor, or one for
  /// another dataset.
  LoadedEditor(const std::filesystem::path& file, const Dataset& dataset, Device device, std::int64_t probe_rows = 0);
  LoadedEditor(const LoadedEditor&) = delete;
  LoadedEditor& operator=(const LoadedEditor&) = delete;

  /// Edits all networks with the same lambda: (requirements), in the order of the editor's.
  std::vector<SubjectNetwork> edit(std::span<const SubjectNetwork* const> networks, std::span<const double> lambda);
  /// Edits all networks to the same budgets; see edit_to_budget.
  std::vector<SubjectNetwork> edit_to_budget(std::span<const SubjectNetwork* const> networks,
                                             std::span<const double> lambda, std::span<const double> budget);
  const TrainedEditor& trained() const { return trained_; }

 private:
  TrainedEditor trained_;
  BatchEditor editor_;
};

}  // namespace amend
