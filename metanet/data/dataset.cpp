#include "metanet/data/dataset.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>

#include "engine/error.hpp"
#include "engine/random.hpp"
#include "metanet/data/config.hpp"
#include "metanet/data/dataset_description.hpp"
#include "metanet/data/recorded_path.hpp"
#include "metanet/data/sha256.hpp"
#include "metanet/data/source_table.hpp"
#include "metanet/data/synthetic.hpp"

namespace amend {

namespace {

constexpr std::uint32_t kSplitStream = 0x53504C54;

using RowList = std::vector<std::int64_t>;

/// Turns a typed table into a Dataset. The description has been checked; what can still be wrong is the data.
class Encoder {
 public:
  Encoder(const DatasetDescription& description, const SourceTable& source, const Config& config, Dataset& dataset)
      : description_(description), source_(source), config_(config), dataset_(dataset) {}

  void run() {
    const RowList kept = keep_rows();
    encode_labels(kept);
    for (const auto& rule : description_.sensitive) encode_groups(rule, kept);
    const std::array<RowList, 4> rows = split_rows(kept);
    for (std::size_t i = 0; i < description_.columns.size(); ++i) {
      if (description_.columns[i].is_feature) add_feature(static_cast<int>(i), kept, rows[0]);
    }
    dataset_.subject_train = encode_rows(rows[0]);
    dataset_.editor_train = encode_rows(rows[1]);
    dataset_.validation = encode_rows(rows[2]);
    dataset_.audit = encode_rows(rows[3]);
  }

 private:
  const SourceColumn& column(const std::string& name) const {
    return source_.columns[static_cast<std::size_t>(description_.find_column(name))];
  }

  static bool is_missing(const SourceColumn& column, std::int64_t row) {
    const auto index = static_cast<std::size_t>(row);
    return column.code.empty() ? std::isnan(column.number[index]) : column.code[index] == column.missing_code;
  }

  static bool holds(const Condition& condition, const SourceColumn& column, std::int64_t row) {
    const auto index = static_cast<std::size_t>(row);
    if (column.code.empty()) return condition.interval.contains(column.number[index]);  // false for NaN
    const std::string& value = column.values[static_cast<std::size_t>(column.code[index])];
    const bool listed = std::find(condition.values.begin(), condition.values.end(), value) != condition.values.end();
    return listed != condition.excludes;
  }

  RowList keep_rows() const {
    std::vector<const SourceColumn*> complete;
    for (std::size_t i = 0; description_.drop_missing && i < description_.columns.size(); ++i) {
      const auto& described = description_.columns[i];
      bool needed = described.is_feature || described.is_label;
      for (const auto& rule : description_.sensitive) needed |= rule.column == described.name;
      if (needed) complete.push_back(&source_.columns[i]);
    }
    RowList kept;
    for (std::int64_t row = 0; row < source_.rows; ++row) {
      bool keep = true;
      for (const auto& filter : description_.filters) keep = keep && holds(filter.keep, column(filter.column), row);
      for (const auto* needed : complete) keep = keep && !is_missing(*needed, row);
      if (keep) kept.push_back(row);
    }
    if (kept.empty()) fail_input(config_.where(), "no rows are left of ", source_.rows, " read");
    return kept;
  }

  /// Class or group of each value of a categorical column, -1 for values that are in no list.
  static std::vector<std::int32_t> ids_of_values(const SourceColumn& column,
                                                 const std::vector<std::vector<std::string>>& lists) {
    std::vector<std::int32_t> ids;
    for (const auto& value : column.values) {
      const auto list = std::find_if(lists.begin(), lists.end(), [&](const std::vector<std::string>& candidates) {
        return std::find(candidates.begin(), candidates.end(), value) != candidates.end();
      });
      ids.push_back(list == lists.end() ? -1 : static_cast<std::int32_t>(list - lists.begin()));
    }
    return ids;
  }

  /// Ids of all rows in `kept`, by interval (0 outside, 1 inside) or by value; other rows get -1.
  std::vector<std::int32_t> ids_of_rows(const std::string& name, const RowList& kept, const Bounds* interval,
                                        const std::vector<std::int32_t>& id_of_value, const char* expected) const {
    const SourceColumn& values = column(name);
    std::vector<std::int32_t> ids(static_cast<std::size_t>(source_.rows), -1);
    for (const std::int64_t row : kept) {
      const auto index = static_cast<std::size_t>(row);
      if (interval) {
        if (is_missing(values, row))
          fail_input(source_.where(row, name), "expected ", expected, ", the value is missing");
        ids[index] = interval->contains(values.number[index]) ? 1 : 0;
        continue;
      }
      const auto code = static_cast<std::size_t>(values.code[index]);
      ids[index] = id_of_value[code];
      if (ids[index] < 0) {
        fail_input(source_.where(row, name), "expected ", expected, ", got `", values.values[code].substr(0, 60), '`');
      }
    }
    return ids;
  }

  void encode_labels(const RowList& kept) {
    const LabelRule& rule = description_.label;
    const auto labelled = std::find_if(description_.columns.begin(), description_.columns.end(),
                                       [](const ColumnDescription& candidate) { return candidate.is_label; });
    const bool by_value = !rule.values.empty();
    const auto id_of_value =
        by_value ? ids_of_values(column(labelled->name), rule.values) : std::vector<std::int32_t>{};
    label_ = ids_of_rows(labelled->name, kept, by_value ? nullptr : &rule.interval, id_of_value,
                         "a value that `label` lists");
    dataset_.class_names = rule.names;
    dataset_.classes = static_cast<int>(rule.names.size());
  }

  void encode_groups(const GroupRule& rule, const RowList& kept) {
    const SourceColumn& values = column(rule.column);
    SensitiveAttribute attribute{rule.name, rule.groups};
    std::vector<std::int32_t> id_of_value;
    if (!rule.values.empty()) {
      id_of_value = ids_of_values(values, rule.values);
      if (rule.other_group >= 0) std::replace(id_of_value.begin(), id_of_value.end(), -1, rule.other_group);
    } else if (!rule.interval) {
      if (attribute.groups.empty()) {
        std::set<std::string> found;
        for (const std::int64_t row : kept) {
          found.insert(values.values[static_cast<std::size_t>(values.code[static_cast<std::size_t>(row)])]);
        }
        attribute.groups.assign(found.begin(), found.end());
      }
      std::vector<std::vector<std::string>> lists;
      for (const auto& group : attribute.groups) lists.push_back({group});
      id_of_value = ids_of_values(values, lists);
    }
    group_.push_back(ids_of_rows(rule.column, kept, rule.interval ? &*rule.interval : nullptr, id_of_value,
                                 "a value that belongs to a group"));
    dataset_.sensitive.push_back(std::move(attribute));
  }

  /// Rows whose file is pinned go to that split in file order; the others are shuffled (Fisher-Yates) and dealt out.
  std::array<RowList, 4> split_rows(const RowList& kept) const {
    std::array<RowList, 4> result;
    RowList pool;
    for (const std::int64_t row : kept) {
      const auto file = static_cast<std::size_t>(source_.file[static_cast<std::size_t>(row)]);
      const auto& pinned = source_.files[file].split;
      (pinned ? result[static_cast<std::size_t>(*pinned)] : pool).push_back(row);
    }
    if (pool.size() > std::numeric_limits<std::int32_t>::max()) fail_input(config_.where(), "too many rows");
    const RandomStream stream(description_.split_seed, kSplitStream);
    for (std::size_t i = pool.size(); i-- > 1;) {
      std::swap(pool[i], pool[stream.below(i, static_cast<std::uint32_t>(i + 1))]);
    }

    // Shares are rounded at their cumulative ends, so that shares that sum to 1 use every row.
    const auto total = static_cast<std::int64_t>(pool.size());
    std::array<std::int64_t, 4> count{};
    std::int64_t used = 0;
    double share = 0;
    for (std::size_t split = 0; split < 4; ++split) {
      const SplitSize& size = description_.split_size[split];
      if (size.unit == SplitSize::Unit::rows) count[split] = static_cast<std::int64_t>(std::min(size.amount, 1e18));
      if (size.unit == SplitSize::Unit::share) {
        const std::int64_t first = std::llround(share * static_cast<double>(total));
        share += size.amount;
        count[split] = std::llround(share * static_cast<double>(total)) - first;
      }
      if (count[split] > total - used) {
        fail_input(config_.where("split"), "expected at most ", total, " rows in all, ", kSplitNames[split],
                   " would need more");
      }
      used += count[split];
    }
    auto next = pool.begin();
    for (std::size_t split = 0; split < 4; ++split) {
      if (description_.split_size[split].unit == SplitSize::Unit::rest) count[split] = total - used;
      result[split].insert(result[split].end(), next, next + count[split]);
      next += count[split];
      if (result[split].empty()) {
        fail_input(config_.where("split") + '.' + kSplitNames[split], "expected at least one row, got none of ", total);
      }
    }
    return result;
  }

  void add_feature(int index, const RowList& kept, const RowList& subject_train) {
    const auto& described = description_.columns[static_cast<std::size_t>(index)];
    const SourceColumn& values = source_.columns[static_cast<std::size_t>(index)];
    Feature feature;
    feature.name = described.name;
    feature.kind = described.kind;
    feature.first_input = dataset_.inputs;
    EncodedColumn encoded;
    if (described.kind == ColumnKind::categorical) {
      encoded.input_of_value = choose_levels(described, values, kept, subject_train, feature);
      encoded.code = &values.code;
    } else {
      encoded.number = standardise(described, values, kept, subject_train, feature);
    }
    encoded_.push_back(std::move(encoded));
    dataset_.inputs += feature.input_count;
    dataset_.features.push_back(std::move(feature));
  }

  /// Fills the levels of `feature` and returns the level of each value, -1 for none.
  std::vector<std::int32_t> choose_levels(const ColumnDescription& described, const SourceColumn& values,
                                          const RowList& kept, const RowList& subject_train, Feature& feature) const {
    if (described.levels) {
      feature.levels = *described.levels;
    } else {
      std::set<std::string> found;
      for (const std::int64_t row : subject_train) {
        found.insert(values.values[static_cast<std::size_t>(values.code[static_cast<std::size_t>(row)])]);
      }
      feature.levels.assign(found.begin(), found.end());
    }
    feature.input_count = static_cast<int>(feature.levels.size());
    std::vector<std::vector<std::string>> lists;
    for (const auto& level : feature.levels) lists.push_back({level});
    std::vector<std::int32_t> level_of_value = ids_of_values(values, lists);
    for (const std::int64_t row : kept) {
      const auto code = static_cast<std::size_t>(values.code[static_cast<std::size_t>(row)]);
      if (level_of_value[code] >= 0 || described.unknown_level == UnknownLevel::zero) continue;
      fail_input(source_.where(row, described.name), "expected one of its ", feature.levels.size(), " levels, got `",
                 values.values[code].substr(0, 60), "`; did you mean `",
                 nearest_name(values.values[code], feature.levels),
                 "`? (`unknown: zero` allows values that are no level)");
    }
    return level_of_value;
  }

  /// (transformed value - mean) / scale of every row, NaN where missing; mean and scale are those of subject_train.
  std::vector<float> standardise(const ColumnDescription& described, const SourceColumn& values, const RowList& kept,
                                 const RowList& subject_train, Feature& feature) const {
    std::vector<double> number(values.number);
    if (described.transform == Transform::log1p) {
      for (const std::int64_t row : kept) {
        double& value = number[static_cast<std::size_t>(row)];
        if (value <= -1) fail_input(source_.where(row, described.name), "log1p needs a number > -1, got ", value);
        value = std::log1p(value);
      }
    }
    // Divided by the largest magnitude first: squares of huge but finite numbers would overflow.
    double largest = 0;
    for (const std::int64_t row : subject_train) {
      const double value = number[static_cast<std::size_t>(row)];
      if (!std::isnan(value)) largest = std::max(largest, std::abs(value));
    }
    const double unit = largest > 0 ? largest : 1;
    double count = 0, mean = 0, squares = 0;  // Welford
    for (const std::int64_t row : subject_train) {
      const double value = number[static_cast<std::size_t>(row)] / unit;
      if (std::isnan(value)) continue;
      const double difference = value - mean;
      mean += difference / ++count;
      squares += difference * (value - mean);
    }
    if (count == 0) {
      fail_input(config_.where("columns"), "column `", described.name, "` has no value in subject_train; ignore it");
    }
    const double deviation = std::sqrt(squares / count);
    feature.mean = mean * unit;
    // A constant column has nothing to scale; its rounding noise is not to be blown up to unit variance.
    feature.scale = deviation > 1e-12 ? deviation * unit : 1;
    feature.input_count = described.missing_indicator ? 2 : 1;
    std::vector<float> result(number.size());
    for (std::size_t row = 0; row < number.size(); ++row) {
      // Rows far outside what subject_train holds stay finite.
      constexpr double kFarthest = 1e6;
      const double standard = (number[row] - feature.mean) / feature.scale;
      result[row] = static_cast<float>(std::isnan(standard) ? standard : std::clamp(standard, -kFarthest, kFarthest));
    }
    return result;
  }

  Rows encode_rows(const RowList& list) const {
    Rows rows;
    rows.count = static_cast<std::int64_t>(list.size());
    const auto width = static_cast<std::size_t>(dataset_.inputs);
    rows.input.assign(list.size() * width, 0.0f);
    for (std::size_t i = 0; i < list.size(); ++i) {
      const auto row = static_cast<std::size_t>(list[i]);
      for (std::size_t f = 0; f < encoded_.size(); ++f) {
        float* input = &rows.input[i * width + static_cast<std::size_t>(dataset_.features[f].first_input)];
        const EncodedColumn& encoded = encoded_[f];
        if (encoded.code) {
          const std::int32_t level = encoded.input_of_value[static_cast<std::size_t>((*encoded.code)[row])];
          if (level >= 0) input[level] = 1;
        } else if (const float value = encoded.number[row]; !std::isnan(value)) {
          input[0] = value;
        } else if (dataset_.features[f].input_count == 2) {
          input[1] = 1;
        }
      }
      rows.label.push_back(label_[row]);
    }
    for (const auto& ids : group_) {
      auto& target = rows.sensitive.emplace_back();
      for (const std::int64_t row : list) target.push_back(ids[static_cast<std::size_t>(row)]);
    }
    return rows;
  }

  struct EncodedColumn {
    std::vector<float> number;                        // numeric: (source rows), NaN where missing
    const std::vector<std::int32_t>* code = nullptr;  // categorical: (source rows)
    std::vector<std::int32_t> input_of_value;         // categorical: input within the feature, -1 for none
  };

  const DatasetDescription& description_;
  const SourceTable& source_;
  const Config& config_;
  Dataset& dataset_;
  std::vector<std::int32_t> label_;               // (source rows), -1 for rows left out
  std::vector<std::vector<std::int32_t>> group_;  // per attribute: (source rows)
  std::vector<EncodedColumn> encoded_;            // per feature
};

std::vector<std::size_t> attribute_indices(const Dataset& dataset, const std::vector<std::string>& attributes) {
  std::vector<std::size_t> indices;
  std::vector<std::string> known;
  std::int64_t product = 1;
  for (const auto& attribute : dataset.sensitive) known.push_back(attribute.name);
  for (const auto& name : attributes.empty() ? known : attributes) {
    const auto found = std::find(known.begin(), known.end(), name);
    if (found == known.end()) {
      fail_input(dataset.name, "no sensitive attribute `", name, '`',
                 known.empty() ? "; the description has none" : "; did you mean `" + nearest_name(name, known) + "`?");
    }
    indices.push_back(static_cast<std::size_t>(found - known.begin()));
    product *= static_cast<std::int64_t>(dataset.sensitive[indices.back()].groups.size());
    if (product > 1000000) fail_input(dataset.name, "the attributes have more than a million intersections");
  }
  return indices;
}

}  // namespace

Dataset load_dataset(const std::filesystem::path& file) {
  const Config config = Config::load(file);
  const DatasetDescription description = parse_description(config);
  const SourceTable source =
      description.synthetic ? generate_synthetic(*description.synthetic).source : read_source(description, config);
  Dataset dataset;
  dataset.name = description.name;
  dataset.source = recorded_path(file);
  dataset.files = {file};
  Sha256 fingerprint;
  fingerprint.update(config.canonical());
  for (const auto& data : source.files) {
    fingerprint.update(data.sha256);
    if (!description.synthetic) dataset.files.emplace_back(data.name);
  }
  dataset.fingerprint = fingerprint.hex();
  Encoder(description, source, config, dataset).run();
  return dataset;
}

std::vector<std::int32_t> group_ids(const Dataset& dataset, const Rows& rows,
                                    const std::vector<std::string>& attributes) {
  std::vector<std::int32_t> ids(static_cast<std::size_t>(rows.count), 0);
  for (const std::size_t attribute : attribute_indices(dataset, attributes)) {
    const auto groups = static_cast<std::int32_t>(dataset.sensitive[attribute].groups.size());
    for (std::size_t row = 0; row < ids.size(); ++row) ids[row] = ids[row] * groups + rows.sensitive[attribute][row];
  }
  return ids;
}

std::vector<std::string> group_names(const Dataset& dataset, const std::vector<std::string>& attributes) {
  std::vector<std::string> names = {""};
  for (const std::size_t attribute : attribute_indices(dataset, attributes)) {
    std::vector<std::string> longer;
    for (const auto& name : names) {
      for (const auto& group : dataset.sensitive[attribute].groups) {
        longer.push_back(name.empty() ? group : name + " & " + group);
      }
    }
    names = std::move(longer);
  }
  return names;
}

}  // namespace amend
