#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "metanet/train/trained_editor.hpp"

namespace amend {

/// What an editor is, for a person: requirements with their ranges, sizes, dataset, training.
std::string editor_text(const TrainedEditor& trained);

/// The same for a machine, with the configuration.
nlohmann::ordered_json editor_json(const TrainedEditor& trained);

}  // namespace amend
