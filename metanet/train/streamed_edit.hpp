#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "metanet/data/population_stream.hpp"
#include "metanet/train/batch_editor.hpp"

namespace amend {

/// Edits a batch, as BatchEditor::edit does: networks, and the weights of their requirements.
using EditBatch = std::function<std::vector<EditResult>(std::span<const SubjectNetwork* const> networks,
                                                        std::span<const double> lambda)>;

/// What stays in memory of an edit whose network is written.
struct EditSummary {
  std::string name;
  double nonzero_share = 1.0;
  std::vector<std::string> features;
};

struct StreamedEdit {
  std::vector<EditSummary> edits;  // in the order of the networks
  double seconds = 0.0;            // spent editing
  bool complete = true;            // false: SIGINT came (InterruptScope), and what is written is not to be kept
};

/// Edits networks `chosen` of a population in batches of `batch`, and writes them to `writer`, which expects these and
/// no other; the caller commits. lambda (chosen networks, requirements) row-major. While a batch is edited the next one
/// is read and the one before is written: the weights of four batches are in memory, whatever the population holds.
/// Throws what reader, `edit` and writer throw.
StreamedEdit edit_streamed(const PopulationReader& reader, std::span<const std::size_t> chosen,
                           std::span<const double> lambda, int batch, const EditBatch& edit, PopulationWriter& writer);

}  // namespace amend
