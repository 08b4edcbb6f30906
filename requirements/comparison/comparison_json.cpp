#include <array>
#include <cmath>
#include <initializer_list>
#include <string_view>
#include <utility>

#include "engine/error.hpp"
#include "metanet/data/json_reader.hpp"
#include "requirements/comparison/comparison.hpp"
#include "requirements/comparison/comparison_check.hpp"

namespace amend {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kFormat = "amend-comparison";

constexpr std::array<std::pair<MethodKind, const char*>, 7> kKinds{{{MethodKind::editor, "editor"},
                                                                    {MethodKind::polished, "polished"},
                                                                    {MethodKind::one_shot, "one_shot"},
                                                                    {MethodKind::canonical, "canonical"},
                                                                    {MethodKind::fine_tuned, "fine_tuned"},
                                                                    {MethodKind::retrained, "retrained"},
                                                                    {MethodKind::attribute, "attribute"}}};

Json mean_json(const ComparedMean& value) {
  return {{"mean", value.mean}, {"interval", {value.interval.low, value.interval.high}}};
}

Json volume_json(const ComparedVolume& value) {
  return {{"network", value.network},
          {"volume", mean_json(value.volume)},
          {"editor_lead", mean_json(value.editor_lead)},
          {"editor_wins", value.editor_wins}};
}

// One array a quantity instead of one object a network: a third of the bytes.
Json point_json(const ComparedPoint& point) {
  Json json{{"setting", point.setting}, {"seconds", point.seconds}};
  Json requirement = Json::array(), divergence = Json::array(), drop = Json::array();
  for (const ComparedNetwork& network : point.network) {
    requirement.push_back(network.requirement);
    divergence.push_back(network.divergence ? Json(*network.divergence) : Json(nullptr));
    drop.push_back(network.accuracy_drop);
  }
  json["requirement"] = std::move(requirement);
  json["divergence"] = std::move(divergence);
  json["accuracy_drop"] = std::move(drop);
  return json;
}

Json method_json(const ComparedMethod& method) {
  Json json{{"name", method.name},
            {"title", method.title},
            {"kind", to_string(method.kind)},
            {"tuned", method.tuned},
            {"points", Json::array()}};
  for (const ComparedPoint& point : method.points) json["points"].push_back(point_json(point));
  json["divergence_volume"] = method.divergence_volume ? volume_json(*method.divergence_volume) : Json(nullptr);
  json["accuracy_volume"] = volume_json(method.accuracy_volume);
  return json;
}

Json table_json(const ComparisonTable& table) {
  Json json{{"requirement", table.requirement},   {"axis", table.axis},
            {"logarithmic", table.logarithmic},   {"networks", table.networks},
            {"network", table.network},           {"unedited", table.unedited},
            {"accuracy", table.accuracy},         {"constant_divergence", table.constant_divergence},
            {"useless_drop", table.useless_drop}, {"methods", Json::array()},
            {"specificity", Json::array()}};
  for (const ComparedMethod& method : table.methods) json["methods"].push_back(method_json(method));
  for (const ComparedSpecificity& row : table.specificity)
    json["specificity"].push_back({{"setting", row.setting},
                                   {"own", row.own},
                                   {"cross", row.cross},
                                   {"canonical", row.canonical},
                                   {"among_edited", row.among_edited},
                                   {"among_originals", row.among_originals},
                                   {"masks", row.masks}});
  return json;
}

/// A value and the path to it, `file: tables[0].methods`, which every message begins with.
class Value {
 public:
  Value(const nlohmann::json& json, std::string file, std::string path = "")
      : json_(json), file_(std::move(file)), path_(std::move(path)) {}

  std::string where() const { return path_.empty() ? file_ : file_ + ": " + path_; }
  bool is_null() const { return json_.is_null(); }

  Value operator[](const std::string& key) const {
    return {json_member(json_, key, where()), file_, path_.empty() ? key : path_ + "." + key};
  }
  /// Throws unless this is an object with no other keys.
  void only(std::initializer_list<std::string_view> keys) const {
    if (!json_.is_object()) fail_input(where(), "expected an object, got ", json_.type_name());
    for (const auto& member : json_.items()) {
      bool known = false;
      for (std::string_view key : keys) known = known || key == member.key();
      if (!known) fail_input(where(), "got the unknown key ", in_quotes(member.key()));
    }
  }
  const std::string& text() const {
    if (!json_.is_string()) fail_input(where(), "expected a string, got ", json_.type_name());
    return json_.get_ref<const std::string&>();
  }
  bool truth() const {
    if (!json_.is_boolean()) fail_input(where(), "expected true or false, got ", json_.type_name());
    return json_.get<bool>();
  }
  double number() const {
    if (!json_.is_number()) fail_input(where(), "expected a number, got ", json_.type_name());
    const auto value = json_.get<double>();
    if (!std::isfinite(value)) fail_input(where(), "expected a finite number, got ", value);
    return value;
  }
  double number(double low, double high) const {
    const double value = number();
    if (value < low || value > high) fail_input(where(), "expected a number from ", low, " to ", high, ", got ", value);
    return value;
  }
  std::int64_t count() const {
    if (!json_.is_number_integer() || json_.get<std::int64_t>() < 0)
      fail_input(where(), "expected a whole number, 0 or more, got ", in_quotes(json_.dump()));
    return json_.get<std::int64_t>();
  }
  /// The items of an array; `read` makes each from its Value.
  template <class Read>
  auto items(const Read& read) const {
    if (!json_.is_array()) fail_input(where(), "expected an array, got ", json_.type_name());
    std::vector<decltype(read(*this))> values;
    values.reserve(json_.size());
    for (std::size_t i = 0; i < json_.size(); ++i)
      values.push_back(read(Value(json_[i], file_, path_ + "[" + std::to_string(i) + "]")));
    return values;
  }
  /// The same, one for each of `networks`.
  template <class Read>
  auto items(std::size_t networks, const Read& read) const {
    if (json_.is_array() && json_.size() != networks)
      fail_input(where(), "expected ", networks, " values, one a network, got ", json_.size());
    return items(read);
  }

 private:
  const nlohmann::json& json_;
  std::string file_, path_;
};

double number_of(const Value& value) { return value.number(); }
double share_of(const Value& value) { return value.number(0.0, 1.0); }
std::string text_of(const Value& value) { return value.text(); }

MethodKind kind_of(const Value& value) {
  std::string names;
  for (const auto& [kind, name] : kKinds) {
    if (value.text() == name) return kind;
    names += (names.empty() ? "" : ", ") + std::string(name);
  }
  fail_input(value.where(), "expected one of ", names, ", got ", in_quotes(value.text()));
}

ComparedMean mean_of(const Value& value) {
  value.only({"mean", "interval"});
  const std::vector<double> ends = value["interval"].items(number_of);
  if (ends.size() != 2 || ends[0] > ends[1])
    fail_input(value["interval"].where(), "expected two numbers, the smaller first");
  return {value["mean"].number(), {ends[0], ends[1]}};
}

ComparedVolume volume_of(const Value& value, std::size_t networks) {
  value.only({"network", "volume", "editor_lead", "editor_wins"});
  return {.network = value["network"].items(networks, number_of),
          .volume = mean_of(value["volume"]),
          .editor_lead = mean_of(value["editor_lead"]),
          .editor_wins = share_of(value["editor_wins"])};
}

ComparedPoint point_of(const Value& value, std::size_t networks) {
  value.only({"setting", "seconds", "requirement", "divergence", "accuracy_drop"});
  ComparedPoint point{.setting = value["setting"].text(), .seconds = value["seconds"].number()};
  if (point.seconds < 0.0) fail_input(value["seconds"].where(), "expected 0 or more, got ", point.seconds);
  const auto requirement = value["requirement"].items(networks, number_of);
  const auto divergence = value["divergence"].items(
      networks, [](const Value& item) { return item.is_null() ? std::nullopt : std::optional<double>(item.number()); });
  const auto drop = value["accuracy_drop"].items(networks, number_of);
  for (std::size_t n = 0; n < networks; ++n) point.network.push_back({requirement[n], divergence[n], drop[n]});
  return point;
}

ComparedMethod method_of(const Value& value, std::size_t networks) {
  value.only({"name", "title", "kind", "tuned", "points", "divergence_volume", "accuracy_volume"});
  ComparedMethod method{.name = value["name"].text(),
                        .title = value["title"].text(),
                        .kind = kind_of(value["kind"]),
                        .tuned = value["tuned"].text(),
                        .points = value["points"].items([&](const Value& point) { return point_of(point, networks); })};
  if (!value["divergence_volume"].is_null()) method.divergence_volume = volume_of(value["divergence_volume"], networks);
  method.accuracy_volume = volume_of(value["accuracy_volume"], networks);
  return method;
}

ComparedSpecificity specificity_of(const Value& value) {
  value.only({"setting", "own", "cross", "canonical", "among_edited", "among_originals", "masks"});
  return {.setting = value["setting"].text(),
          .own = value["own"].number(),
          .cross = value["cross"].number(),
          .canonical = value["canonical"].number(),
          .among_edited = value["among_edited"].number(),
          .among_originals = value["among_originals"].number(),
          .masks = value["masks"].count()};
}

ComparisonTable table_of(const Value& value) {
  value.only({"requirement", "axis", "logarithmic", "networks", "network", "unedited", "accuracy",
              "constant_divergence", "useless_drop", "methods", "specificity"});
  ComparisonTable table{.requirement = value["requirement"].text(),
                        .axis = value["axis"].text(),
                        .logarithmic = value["logarithmic"].truth(),
                        .networks = value["networks"].text(),
                        .network = value["network"].items(text_of)};
  const std::size_t networks = table.network.size();
  table.unedited = value["unedited"].items(networks, number_of);
  table.accuracy = value["accuracy"].items(networks, share_of);
  table.constant_divergence = value["constant_divergence"].items(networks, number_of);
  table.useless_drop = value["useless_drop"].items(networks, number_of);
  table.methods = value["methods"].items([&](const Value& method) { return method_of(method, networks); });
  table.specificity = value["specificity"].items(specificity_of);
  return table;
}

ComparedJoint joint_of(const Value& value) {
  value.only({"setting", "method", "nonzero_share", "features", "gap", "divergence", "accuracy_drop", "objective",
              "lead", "seconds"});
  ComparedJoint row{.setting = value["setting"].text(),
                    .method = value["method"].text(),
                    .nonzero_share = share_of(value["nonzero_share"]),
                    .features = value["features"].number(),
                    .gap = std::nullopt,
                    .divergence = value["divergence"].number(),
                    .accuracy_drop = value["accuracy_drop"].number(),
                    .objective = mean_of(value["objective"]),
                    .lead = mean_of(value["lead"]),
                    .seconds = value["seconds"].number()};
  if (!value["gap"].is_null()) row.gap = value["gap"].number();
  return row;
}

}  // namespace

std::string to_string(MethodKind kind) {
  for (const auto& [known, name] : kKinds)
    if (known == kind) return name;
  fail("comparison", "unknown kind of method ", static_cast<int>(kind));
}

nlohmann::ordered_json to_json(const Comparison& comparison) {
  // JSON has no infinity and no NaN: the library would write null, which nothing reads back.
  check_comparison(comparison, "comparison");
  Json json{{"format", kFormat},
            {"title", comparison.title},
            {"dataset", comparison.dataset},
            {"rows", comparison.rows},
            {"version", comparison.version},
            {"hardware", comparison.hardware},
            {"command", comparison.command},
            {"tables", Json::array()},
            {"joint", Json::array()}};
  for (const ComparisonTable& table : comparison.tables) json["tables"].push_back(table_json(table));
  for (const ComparedJoint& row : comparison.joint)
    json["joint"].push_back({{"setting", row.setting},
                             {"method", row.method},
                             {"nonzero_share", row.nonzero_share},
                             {"features", row.features},
                             {"gap", row.gap ? Json(*row.gap) : Json(nullptr)},
                             {"divergence", row.divergence},
                             {"accuracy_drop", row.accuracy_drop},
                             {"objective", mean_json(row.objective)},
                             {"lead", mean_json(row.lead)},
                             {"seconds", row.seconds}});
  return json;
}

Comparison comparison_from_json(const nlohmann::json& json, const std::string& file) {
  const Value value(json, file);
  if (const Value format = value["format"]; format.text() != kFormat)
    fail_input(format.where(), "expected '", kFormat, "', got ", in_quotes(format.text()));
  value.only({"format", "title", "dataset", "rows", "version", "hardware", "command", "tables", "joint"});
  return {.title = value["title"].text(),
          .dataset = value["dataset"].text(),
          .rows = value["rows"].count(),
          .version = value["version"].text(),
          .hardware = value["hardware"].text(),
          .command = value["command"].text(),
          .tables = value["tables"].items(table_of),
          .joint = value["joint"].items(joint_of)};
}

}  // namespace amend
