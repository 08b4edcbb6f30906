#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "metanet/data/dataset.hpp"
#include "metanet/data/dataset_description.hpp"

namespace amend {

/// A dataset and what its description says about the way from cells to inputs.
struct EncodedDataset {
  DatasetDescription description;
  Dataset dataset;
};

/// Throws InputError as load_dataset does.
EncodedDataset load_encoded_dataset(const std::filesystem::path& description);

/// How the columns of a table become the inputs of a network, for a person: one line a feature. Levels are abbreviated
/// unless `all_levels`.
std::string dataset_text(const EncodedDataset& encoded, bool all_levels);

/// The same for a machine, complete: whoever follows it encodes a row to the bits that amend does (docs/cli.md).
nlohmann::ordered_json dataset_json(const EncodedDataset& encoded);

}  // namespace amend
