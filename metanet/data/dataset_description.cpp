#include "metanet/data/dataset_description.hpp"

#include <algorithm>
#include <cmath>
#include <set>

#include "metanet/data/synthetic.hpp"

namespace amend {

namespace {

FileDescription parse_file(const Config& config) {
  config.allow_only({"path", "sha256", "skip_lines", "split"});
  FileDescription file;
  file.path = config.require<std::string>("path");
  file.sha256 = config.get("sha256", "");
  const bool is_digest =
      file.sha256.size() == 64 && file.sha256.find_first_not_of("0123456789abcdef") == std::string::npos;
  if (!file.sha256.empty() && !is_digest) config.fail_at("sha256", "expected 64 lower-case hexadecimal digits");
  file.skip_lines = config.get("skip_lines", 0, between(0, 1000000));
  if (config.has("split")) {
    const std::vector<std::string> names(kSplitNames.begin(), kSplitNames.end());
    const std::string name = config.choice("split", "", names);
    file.split = static_cast<Split>(std::find(names.begin(), names.end(), name) - names.begin());
  }
  return file;
}

void parse_roles(const Config& config, ColumnDescription& column) {
  const std::vector<std::string> known = {"feature", "label", "sensitive", "ignored"};
  const std::vector<std::string> roles = config.list<std::string>("role", {"feature"});
  column.is_feature = false;
  for (const auto& role : roles) {
    if (std::find(known.begin(), known.end(), role) == known.end()) {
      config.fail_at("role", "expected feature, label, sensitive or ignored, got `" + role + "`; did you mean `" +
                                 nearest_name(role, known) + "`?");
    }
    column.is_feature |= role == "feature";
    column.is_label |= role == "label";
    column.is_sensitive |= role == "sensitive";
    if (roles.size() > 1 && (role == "ignored" || role == "label")) {
      config.fail_at("role", "`" + role + "` cannot be combined with another role");
    }
  }
  if (roles.empty()) config.fail_at("role", "expected at least one role");
}

ColumnDescription parse_column(const Config& config) {
  config.allow_only({"name", "kind", "role", "transform", "missing_indicator", "levels", "unknown", "strip_suffix"});
  ColumnDescription column;
  column.name = config.require<std::string>("name");
  const bool numeric = config.choice("kind", "numeric", {"numeric", "categorical"}) == "numeric";
  column.kind = numeric ? ColumnKind::numeric : ColumnKind::categorical;
  parse_roles(config, column);
  for (const char* key : {"transform", "missing_indicator"}) {
    if (!numeric && config.has(key)) config.fail_at(key, "applies to a numeric column only");
  }
  for (const char* key : {"levels", "unknown"}) {
    if (numeric && config.has(key)) config.fail_at(key, "applies to a categorical column only");
  }
  if (config.choice("transform", "identity", {"identity", "log1p"}) == "log1p") column.transform = Transform::log1p;
  column.missing_indicator = config.get("missing_indicator", false);
  if (config.is_list("levels")) {
    column.levels = config.list<std::string>("levels");
    const std::set<std::string> distinct(column.levels->begin(), column.levels->end());
    if (distinct.empty() || distinct.size() != column.levels->size()) {
      config.fail_at("levels", "expected at least one level and each one once");
    }
  } else {
    config.choice("levels", "auto", {"auto"});
  }
  const std::string unknown = config.choice("unknown", column.levels ? "error" : "zero", {"zero", "error"});
  column.unknown_level = unknown == "error" ? UnknownLevel::error : UnknownLevel::zero;
  column.strip_suffix = config.get("strip_suffix", "");
  return column;
}

/// `above: x`, `at_least: x` or `between: [x, y]`; nothing when none of them is there.
std::optional<Bounds> parse_interval(const Config& config) {
  const int given = config.has("above") + config.has("at_least") + config.has("between");
  if (given > 1) config.fail_at("", "expected one of `above`, `at_least`, `between`, got several");
  if (config.has("above")) return above(config.require<double>("above"));
  if (config.has("at_least")) return at_least(config.require<double>("at_least"));
  if (config.has("between")) {
    const Range<double> range = config.require_range<double>("between");
    return between(range.low, range.high);
  }
  return std::nullopt;
}

/// Names of the two sides of an interval, outside first.
std::vector<std::string> interval_names(const Bounds& interval) {
  if (std::isfinite(interval.high)) {
    const std::string ends = number_text(interval.low) + " to " + number_text(interval.high);
    return {"not " + ends, ends};
  }
  const std::string low = number_text(interval.low);
  return interval.low_excluded ? std::vector<std::string>{"<= " + low, "> " + low}
                               : std::vector<std::string>{"< " + low, ">= " + low};
}

const ColumnDescription& column_of(const DatasetDescription& description, const Config& config, const std::string& key,
                                   const std::string& name) {
  const int index = description.find_column(name);
  if (index < 0) {
    std::vector<std::string> names;
    for (const auto& column : description.columns) names.push_back(column.name);
    config.fail_at(key, "no column `" + name + "`; did you mean `" + nearest_name(name, names) + "`?");
  }
  return description.columns[static_cast<std::size_t>(index)];
}

/// An interval needs a numeric column, a list of values a categorical one.
void check_kind(const Config& config, const ColumnDescription& column, bool by_interval) {
  if (by_interval == (column.kind == ColumnKind::numeric)) return;
  config.fail_at("", "column `" + column.name + "` is " +
                         (by_interval ? "categorical: expected values, got an interval"
                                      : "numeric: expected `above`, `at_least` or `between`"));
}

LabelRule parse_label(const Config& config, const DatasetDescription& description) {
  config.allow_only({"positive", "negative", "classes", "above", "at_least", "between", "names"});
  const auto column = std::find_if(description.columns.begin(), description.columns.end(),
                                   [](const ColumnDescription& candidate) { return candidate.is_label; });
  LabelRule rule;
  const auto interval = parse_interval(config);
  check_kind(config, *column, interval.has_value());
  if (interval) {
    rule.interval = *interval;
    rule.names = interval_names(*interval);
  } else if (config.has("classes")) {
    for (const auto& value : config.list<std::string>("classes")) rule.values.push_back({value});
  } else {
    for (const char* key : {"negative", "positive"}) {
      if (!config.has(key)) config.fail_at(key, "missing; expected the value or values of that class");
      rule.values.push_back(config.list<std::string>(key));
    }
  }
  std::set<std::string> seen;
  for (const auto& values : rule.values) {
    if (values.empty()) config.fail_at("", "expected at least one value for each class");
    rule.names.push_back(values.front());
    for (const auto& value : values) {
      if (!seen.insert(value).second) config.fail_at("", "value `" + value + "` stands for two classes");
    }
  }
  if (rule.names.size() < 2) config.fail_at("classes", "expected at least two classes");
  const std::vector<std::string> names = config.list<std::string>("names", rule.names);
  if (names.size() != rule.names.size()) {
    config.fail_at("names", "expected " + std::to_string(rule.names.size()) + " names, one for each class");
  }
  rule.names = names;
  return rule;
}

GroupRule parse_group_rule(const Config& config, const DatasetDescription& description) {
  config.allow_only({"name", "column", "groups", "other", "above", "at_least", "between", "names"});
  GroupRule rule;
  rule.name = config.require<std::string>("name");
  rule.column = config.get<std::string>("column", rule.name);
  const ColumnDescription& column =
      column_of(description, config, config.has("column") ? "column" : "name", rule.column);
  rule.interval = parse_interval(config);
  check_kind(config, column, rule.interval.has_value());
  if (rule.interval) {
    rule.groups = config.list<std::string>("names", interval_names(*rule.interval));
    if (rule.groups.size() != 2) config.fail_at("names", "expected two names: outside the interval, inside");
    if (config.has("groups") || config.has("other"))
      config.fail_at("", "expected groups by interval or by value, got both");
    return rule;
  }
  if (config.has("names")) config.fail_at("names", "applies to an interval only; `groups` names its groups");
  const Config groups = config.child("groups");
  std::set<std::string> seen;
  for (const auto& name : groups.keys()) {
    rule.groups.push_back(name);
    rule.values.push_back(groups.list<std::string>(name));
    for (const auto& value : rule.values.back()) {
      if (!seen.insert(value).second) groups.fail_at(name, "value `" + value + "` belongs to two groups");
    }
  }
  if (config.has("other")) {
    rule.other_group = static_cast<int>(rule.groups.size());
    rule.groups.push_back(config.require<std::string>("other"));
    rule.values.emplace_back();
  }
  if (rule.groups.size() == 1) config.fail_at("groups", "expected at least two groups");
  if (rule.groups.empty() && column.levels) rule.groups = *column.levels;
  return rule;
}

RowFilter parse_filter(const Config& config, const DatasetDescription& description) {
  config.allow_only({"column", "above", "at_least", "between", "only", "not"});
  RowFilter filter;
  filter.column = config.require<std::string>("column");
  const auto interval = parse_interval(config);
  check_kind(config, column_of(description, config, "column", filter.column), interval.has_value());
  if (interval) filter.keep.interval = *interval;
  if (interval.has_value() + config.has("only") + config.has("not") != 1) {
    config.fail_at("", "expected one of `above`, `at_least`, `between`, `only`, `not`");
  }
  filter.keep.excludes = config.has("not");
  filter.keep.values = config.list<std::string>(config.has("not") ? "not" : "only");
  return filter;
}

void parse_split(const Config& config, DatasetDescription& description) {
  config.allow_only({"seed", "subject_train", "editor_train", "validation", "audit"});
  description.split_seed = config.get<std::uint64_t>("seed", 1);
  std::array<bool, 4> pinned{};
  for (const auto& file : description.files) {
    if (file.split) pinned[static_cast<std::size_t>(*file.split)] = true;
  }
  constexpr std::array<double, 4> kDefaultShare = {0.4, 0.3, 0.1, 0.2};
  const bool any =
      config.has("subject_train") || config.has("editor_train") || config.has("validation") || config.has("audit");
  int rests = 0;
  double shares = 0;
  for (std::size_t split = 0; split < kSplitNames.size(); ++split) {
    const char* key = kSplitNames[split];
    SplitSize& size = description.split_size[split];
    if (!any && std::count(pinned.begin(), pinned.end(), true) == 0)
      size = {SplitSize::Unit::share, kDefaultShare[split]};
    if (!config.has(key)) {
      if (any && !pinned[split]) config.fail_at(key, "missing; expected a share below 1, a number of rows, or `rest`");
      if (size.unit == SplitSize::Unit::none && !pinned[split])
        config.fail_at(key, "missing; other splits are given by a file");
    } else if (config.get<std::string>(key, "") == "rest") {
      size.unit = SplitSize::Unit::rest;
      if (++rests > 1) config.fail_at(key, "only one split can be the rest");
    } else {
      size.amount = config.require<double>(key, above(0));
      size.unit = size.amount < 1 ? SplitSize::Unit::share : SplitSize::Unit::rows;
      if (size.amount >= 1 && size.amount != std::floor(size.amount)) {
        config.fail_at(key, "expected a share below 1, a number of rows, or `rest`");
      }
    }
    if (size.unit == SplitSize::Unit::share) shares += size.amount;
  }
  if (shares > 1 + 1e-9) config.fail_at("", "expected shares that sum to at most 1, got " + number_text(shares));
}

char parse_separator(const Config& config) {
  const std::string text = config.get("separator", ",");
  if (text == "tab") return '\t';
  if (text.size() != 1 || text == "\"" || text == "\n" || text == "\r") {
    config.fail_at("separator", "expected one character, or `tab`");
  }
  return text[0];
}

}  // namespace

int DatasetDescription::find_column(const std::string& column) const {
  for (std::size_t i = 0; i < columns.size(); ++i) {
    if (columns[i].name == column) return static_cast<int>(i);
  }
  return -1;
}

DatasetDescription parse_description(const Config& config) {
  DatasetDescription description;
  if (config.has("synthetic")) {
    config.allow_only({"name", "synthetic", "split"});
    const Config settings = config.child("synthetic");
    settings.allow_only({"rows", "seed", "bias"});
    SyntheticSettings synthetic;
    synthetic.rows = settings.get("rows", synthetic.rows, between(100, 10000000));
    synthetic.seed = settings.get("seed", synthetic.seed);
    synthetic.bias = settings.get("bias", synthetic.bias, between(0, 10));
    description = synthetic_description(synthetic);
    description.name = config.get<std::string>("name", description.name);
    parse_split(config.child("split"), description);
    return description;
  }

  config.allow_only({"name", "files", "separator", "header", "missing", "drop_missing", "columns", "label", "sensitive",
                     "filter", "split"});
  description.name = config.require<std::string>("name");
  for (const auto& file : config.children("files")) description.files.push_back(parse_file(file));
  if (description.files.empty()) config.fail_at("files", "expected at least one file, or `synthetic`");
  description.separator = parse_separator(config);
  description.header = config.get("header", true);
  description.missing = config.list<std::string>("missing");
  description.drop_missing = config.get("drop_missing", false);

  int labels = 0, features = 0;
  for (const auto& entry : config.children("columns")) {
    ColumnDescription column = parse_column(entry);
    if (description.find_column(column.name) >= 0) entry.fail_at("name", "a second column `" + column.name + "`");
    labels += column.is_label;
    features += column.is_feature;
    description.columns.push_back(std::move(column));
  }
  if (features == 0) config.fail_at("columns", "expected at least one column with the role feature");
  if (labels != 1) config.fail_at("columns", "expected one column with the role label, got " + std::to_string(labels));

  description.label = parse_label(config.child("label"), description);
  std::set<std::string> names;
  for (const auto& entry : config.children("sensitive")) {
    description.sensitive.push_back(parse_group_rule(entry, description));
    if (!names.insert(description.sensitive.back().name).second)
      entry.fail_at("name", "a second attribute of that name");
  }
  for (const auto& column : description.columns) {
    if (!column.is_sensitive || names.count(column.name)) continue;
    const auto has_rule = [&](const GroupRule& rule) { return rule.column == column.name; };
    if (std::any_of(description.sensitive.begin(), description.sensitive.end(), has_rule)) continue;
    if (column.kind == ColumnKind::numeric) {
      config.fail_at("sensitive",
                     "expected a rule with `above`, `at_least` or `between` for numeric column `" + column.name + "`");
    }
    GroupRule& rule = description.sensitive.emplace_back();
    rule.name = rule.column = column.name;
    if (column.levels) rule.groups = *column.levels;
  }
  for (const auto& entry : config.children("filter")) description.filters.push_back(parse_filter(entry, description));
  parse_split(config.child("split"), description);
  return description;
}

}  // namespace amend
