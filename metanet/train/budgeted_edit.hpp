#pragma once

#include <span>
#include <vector>

#include "metanet/train/batch_editor.hpp"

namespace amend {

/// What an edit kept, in the unit of a budget for a requirement with these gates, see `stage_limits`.
double kept_by(EditGates gates, const EditResult& edit);

/// Edits that keep no more than they are told. lambda and budget: (networks, requirements) row-major. Where a budget is
/// given, its requirement's lambda is not read but found: the editor's curve says which strength keeps that much on
/// average. Of weights and neurons a trial edit at that strength says how far this network is from the average, and the
/// strength moves along the curve by as much. The edit then closes all gates but the most open ones
/// (kernels::GateBudget), after every pass. A network's edit
/// has the same bits alone and in any batch. Throws InputError when a budget is given for a requirement without gates
/// or with an unknown curve, and what BatchEditor::edit throws.
std::vector<EditResult> edit_to_budget(BatchEditor& editor, const TrainedEditor& trained,
                                       std::span<const SubjectNetwork* const> networks, std::span<const double> lambda,
                                       std::span<const double> budget);

/// Curves of all requirements of an editor, measured on `networks`; empty ones for requirements without gates.
std::vector<KeptCurve> measure_kept(TrainedEditor& trained, const Dataset& dataset,
                                    std::span<const SubjectNetwork* const> networks);

/// Throws InputError that begins with `where` unless edits can be told how much to keep of this requirement.
void expect_budget(const TrainedEditor& trained, std::size_t requirement, const std::string& where);

}  // namespace amend
