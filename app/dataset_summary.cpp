#include "app/dataset_summary.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/error.hpp"
#include "metanet/data/config.hpp"

namespace amend {
namespace {

using Json = nlohmann::ordered_json;

/// Standardised numbers are cut off here (metanet/data/dataset.cpp).
constexpr double kFarthest = 1e6;

const char* to_string(Transform transform) { return transform == Transform::log1p ? "log1p" : "identity"; }

bool has_level(const Feature& feature, const char* level) {
  return std::find(feature.levels.begin(), feature.levels.end(), level) != feature.levels.end();
}

/// What becomes of a missing value: the `mean` (0), the mean with its `indicator`, the `level` of that name, or what
/// becomes of any value that is no level: `zero` or `error`.
const char* missing_handling(const ColumnDescription& column, const Feature& feature) {
  if (column.kind == ColumnKind::numeric) return column.missing_indicator ? "indicator" : "mean";
  if (has_level(feature, kMissingLevel)) return "level";
  return column.unknown_level == UnknownLevel::zero ? "zero" : "error";
}

const ColumnDescription& column_of(const EncodedDataset& encoded, const Feature& feature) {
  return encoded.description.columns[static_cast<std::size_t>(encoded.description.find_column(feature.name))];
}

Json feature_json(const EncodedDataset& encoded, const Feature& feature) {
  const ColumnDescription& column = column_of(encoded, feature);
  const bool numeric = feature.kind == ColumnKind::numeric;
  Json json{{"name", feature.name},
            {"first_input", feature.first_input},
            {"inputs", feature.input_count},
            {"kind", numeric ? "numeric" : "categorical"},
            {"strip_suffix", column.strip_suffix},
            {"missing", missing_handling(column, feature)}};
  if (numeric) {
    json["transform"] = to_string(column.transform);
    json["mean"] = feature.mean;
    json["scale"] = feature.scale;
    json["limit"] = kFarthest;
  } else {
    json["levels"] = feature.levels;
    json["unknown"] = column.unknown_level == UnknownLevel::zero ? "zero" : "error";
  }
  return json;
}

Json label_json(const EncodedDataset& encoded) {
  const DatasetDescription& description = encoded.description;
  const auto column = std::find_if(description.columns.begin(), description.columns.end(),
                                   [](const ColumnDescription& candidate) { return candidate.is_label; });
  Json json{{"column", column->name}, {"strip_suffix", column->strip_suffix}, {"classes", encoded.dataset.class_names}};
  if (description.label.values.empty())
    json["class_1"] = "a number" + description.label.interval.describe();
  else
    json["values"] = description.label.values;
  return json;
}

std::string levels_text(const Feature& feature, bool all_levels) {
  constexpr std::size_t kShown = 48;
  std::string out;
  for (std::size_t k = 0; k < feature.levels.size(); ++k) {
    if (!all_levels && k > 0 && out.size() + feature.levels[k].size() > kShown) {
      out += ", ...";
      break;
    }
    out += (k > 0 ? ", " : "") + feature.levels[k];
  }
  return out;
}

std::string feature_text(const EncodedDataset& encoded, const Feature& feature, bool all_levels) {
  const ColumnDescription& column = column_of(encoded, feature);
  const std::string suffix = column.strip_suffix.empty() ? "" : "; without the suffix `" + column.strip_suffix + "`";
  if (feature.kind == ColumnKind::numeric)
    return fmt::format("({} {} {:.6g}) / {:.6g}; missing: 0{}{}",
                       column.transform == Transform::log1p ? "log(1 + x)" : "x", feature.mean < 0.0 ? '+' : '-',
                       std::abs(feature.mean), feature.scale,
                       column.missing_indicator ? ", and 1 in a second input" : "", suffix);
  const bool level = has_level(feature, kMissingLevel);
  return fmt::format("{} level{}: {}; {}: {}{}", feature.levels.size(), feature.levels.size() == 1 ? "" : "s",
                     levels_text(feature, all_levels), level ? "missing: level `missing`; else" : "missing or else",
                     column.unknown_level == UnknownLevel::zero ? "all 0" : "an error", suffix);
}

std::string inputs_text(const Feature& feature) {
  const int last = feature.first_input + feature.input_count - 1;
  if (feature.input_count == 0) return "none";
  return last == feature.first_input ? fmt::format("{}", last) : fmt::format("{}..{}", feature.first_input, last);
}

}  // namespace

EncodedDataset load_encoded_dataset(const std::filesystem::path& description) {
  const Config config = Config::load(description);
  if (!config.has("columns") && !config.has("synthetic"))
    fail_input(description.string(), "expected the description of a dataset, found neither `columns` nor `synthetic`");
  return {.description = parse_description(config), .dataset = load_dataset(description)};
}

std::string dataset_text(const EncodedDataset& encoded, bool all_levels) {
  const DatasetDescription& description = encoded.description;
  const Dataset& dataset = encoded.dataset;
  std::string out =
      fmt::format("dataset {}: {} inputs from {} features, classes 0 .. {}: {}\n", dataset.name, dataset.inputs,
                  dataset.features.size(), dataset.classes - 1, fmt::join(dataset.class_names, ", "));
  out += fmt::format("  described by {}, fingerprint {}\n", dataset.source.string(), dataset.fingerprint.substr(0, 12));
  out +=
      fmt::format("  rows: {} subject_train, {} editor_train, {} validation, {} audit\n", dataset.subject_train.count,
                  dataset.editor_train.count, dataset.validation.count, dataset.audit.count);
  if (!description.missing.empty())
    out += fmt::format("  missing values are written `{}`{}\n", fmt::join(description.missing, "`, `"),
                       description.drop_missing ? "; rows with one are left out" : "");
  std::size_t inputs_width = 6, name_width = 7;
  for (const Feature& feature : dataset.features) {
    inputs_width = std::max(inputs_width, inputs_text(feature).size());
    name_width = std::max(name_width, feature.name.size());
  }
  out += fmt::format("  {:<{}}  {:<{}}  how its value x is encoded\n", "inputs", inputs_width, "feature", name_width);
  for (const Feature& feature : dataset.features)
    out += fmt::format("  {:<{}}  {:<{}}  {}\n", inputs_text(feature), inputs_width, feature.name, name_width,
                       feature_text(encoded, feature, all_levels));
  return out;
}

nlohmann::ordered_json dataset_json(const EncodedDataset& encoded) {
  const Dataset& dataset = encoded.dataset;
  Json features = Json::array(), sensitive = Json::array();
  for (const Feature& feature : dataset.features) features.push_back(feature_json(encoded, feature));
  for (const SensitiveAttribute& attribute : dataset.sensitive)
    sensitive.push_back({{"name", attribute.name}, {"groups", attribute.groups}});
  return {{"kind", "dataset"},
          {"name", dataset.name},
          {"description", dataset.source.string()},
          {"fingerprint", dataset.fingerprint},
          {"inputs", dataset.inputs},
          {"features", std::move(features)},
          {"missing_values", encoded.description.missing},
          {"drop_missing", encoded.description.drop_missing},
          {"label", label_json(encoded)},
          {"sensitive", std::move(sensitive)},
          {"rows",
           {{"subject_train", dataset.subject_train.count},
            {"editor_train", dataset.editor_train.count},
            {"validation", dataset.validation.count},
            {"audit", dataset.audit.count}}}};
}

}  // namespace amend
