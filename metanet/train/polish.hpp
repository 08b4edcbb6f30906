#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "metanet/train/batch_editor.hpp"
#include "metanet/train/fine_tuning.hpp"

namespace amend {

/// Fine-tunes edits for `steps` steps with their zeros fixed: towards the predictions of the originals, and for the
/// requirements on groups of the condition, which `lambda` weighs as in BatchEditor::edit. Rows are those of
/// editor_train. `edits[n]` belongs to `originals[n]`; a network's bits depend on nothing else. Throws what `fine_tune`
/// throws.
void polish(std::span<EditResult> edits, std::span<const SubjectNetwork* const> originals,
            std::span<const double> lambda, const TrainedEditor& trained, const Dataset& dataset, std::int64_t steps);

/// How `polish` fine-tunes: everything but the lambdas.
FineTuning polishing(const TrainedEditor& trained, const Dataset& dataset, std::int64_t steps);

}  // namespace amend
