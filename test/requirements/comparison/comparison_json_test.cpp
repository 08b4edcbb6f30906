#include <catch2/catch.hpp>
#include <functional>
#include <limits>

#include "metanet/data/json_reader.hpp"
#include "requirements/comparison/comparison.hpp"
#include "test/support/comparison_example.hpp"
#include "test/support/data_files.hpp"

using namespace amend;
using namespace amend::test;
using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;

namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

const Comparison& small() {
  static const Comparison comparison = [] {
    Comparison made = comparison_example(3, 2, 2);
    made.tables[0].specificity = {{"strength 1", 0.01, 0.04, 0.02, 0.03, 0.05, 2}};
    made.joint = {{.setting = "pruning 1",
                   .method = "combined",
                   .nonzero_share = 0.1,
                   .features = 3.5,
                   .gap = 0.2,
                   .divergence = 0.01,
                   .accuracy_drop = -0.3,
                   .objective = {0.5, {0.4, 0.6}},
                   .lead = {0.0, {-0.1, 0.1}},
                   .seconds = 0.003},
                  {.setting = "pruning 1", .method = "sequence"}};
    return made;
  }();
  return comparison;
}

/// The message about what `change` made of a good file.
std::string message(const std::function<void(nlohmann::json&)>& change) {
  static const nlohmann::json good = nlohmann::json::parse(to_json(small()).dump());
  nlohmann::json json = good;
  change(json);
  return input_error([&] { comparison_from_json(json, "c.json"); });
}

/// The same for the value at `path`, a JSON pointer.
std::string message(const char* path, const nlohmann::json& value) {
  return message([&](nlohmann::json& json) { json.at(nlohmann::json::json_pointer(path)) = value; });
}

}  // namespace

TEST_CASE("a comparison comes back from JSON as it was") {
  Comparison comparison = small();
  comparison.title = "quotes \" and \\ and \n, \u00e9\u4e2d";
  comparison.tables[0].methods[0].points[0].network[1].divergence.reset();
  comparison.tables[0].methods[0].points[0].network[0].accuracy_drop = 0.1 + 0.2;
  comparison.tables[0].methods[0].points[0].seconds = 5e-324;
  comparison.tables[0].unedited[0] = 1.0 / 3.0;
  const std::vector<MethodKind> kinds{MethodKind::editor,    MethodKind::polished,   MethodKind::one_shot,
                                      MethodKind::canonical, MethodKind::fine_tuned, MethodKind::retrained,
                                      MethodKind::attribute};
  for (MethodKind kind : kinds) {
    comparison.tables[1].methods[2].kind = kind;
    const std::string text = to_json(comparison).dump(1);
    const Comparison back = comparison_from_json(parse_json(text, "c.json"), "c.json");
    CHECK(to_json(back).dump(1) == text);
    CHECK(back.tables[1].methods[2].kind == kind);
    CHECK_THAT(text, Contains("\"kind\": \"" + to_string(kind) + "\""));
  }

  const Comparison back = comparison_from_json(parse_json(to_json(comparison).dump(), "c.json"), "c.json");
  const ComparisonTable &table = back.tables[0], &before = comparison.tables[0];
  CHECK(back.title == comparison.title);
  REQUIRE(back.joint.size() == 2);
  CHECK(back.joint[0].gap == 0.2);
  CHECK(back.joint[0].lead.interval.low == -0.1);
  CHECK_FALSE(back.joint[1].gap);
  REQUIRE(table.specificity.size() == 1);
  CHECK(table.specificity[0].among_edited == 0.03);
  CHECK(table.specificity[0].masks == 2);
  CHECK(back.rows == comparison.rows);
  CHECK(back.command == comparison.command);
  CHECK(table.logarithmic);
  CHECK(table.network == before.network);
  CHECK(table.unedited == before.unedited);
  CHECK(table.useless_drop == before.useless_drop);
  const ComparedPoint& point = table.methods[0].points[0];
  CHECK(point.setting == before.methods[0].points[0].setting);
  CHECK(point.seconds == 5e-324);
  CHECK(point.network[0].accuracy_drop == 0.1 + 0.2);
  CHECK(point.network[0].divergence == before.methods[0].points[0].network[0].divergence);
  CHECK_FALSE(point.network[1].divergence);
  CHECK(table.methods[2].accuracy_volume.network == before.methods[2].accuracy_volume.network);
  CHECK(table.methods[2].divergence_volume->editor_lead.interval.high ==
        before.methods[2].divergence_volume->editor_lead.interval.high);
  CHECK(table.methods[2].accuracy_volume.editor_wins == before.methods[2].accuracy_volume.editor_wins);
  CHECK_FALSE(back.tables[2].methods[1].divergence_volume);
}

TEST_CASE("a comparison's JSON says what it is") {
  CHECK(to_json(small()).front() == "amend-comparison");
  CHECK(to_json(small()).begin().key() == "format");
  CHECK(message("/format", "amend-audit") == "c.json: format: expected 'amend-comparison', got \"amend-audit\"");
  CHECK_THAT(input_error([] { comparison_from_json(nlohmann::json::array(), "c.json"); }),
             StartsWith("c.json: expected an object"));
}

TEST_CASE("every key of a comparison's JSON is needed and no other is known") {
  // Walks the first items of all arrays: every kind of object is met.
  const nlohmann::json good = nlohmann::json::parse(to_json(small()).dump());
  int objects = 0, keys = 0;
  const std::function<void(const nlohmann::json&, const std::string&)> walk = [&](const nlohmann::json& value,
                                                                                  const std::string& path) {
    if (value.is_array() && !value.empty()) walk(value[0], path + "/0");
    if (!value.is_object()) return;
    ++objects;
    nlohmann::json more = value;
    more["extra"] = 1;
    const auto at = nlohmann::json::json_pointer(path);
    CHECK_THAT(message([&](nlohmann::json& json) { json[at] = more; }),
               StartsWith("c.json: ") && Contains("got the unknown key \"extra\""));
    for (const auto& [key, member] : value.items()) {
      ++keys;
      nlohmann::json less = value;
      less.erase(key);
      INFO(path << " " << key);
      CHECK_THAT(message([&](nlohmann::json& json) { json[at] = less; }),
                 StartsWith("c.json: ") && Contains("expected a key '" + key + "', found none"));
      nlohmann::json other = value;
      other[key] = member.is_object() ? nlohmann::json(1) : nlohmann::json::object();
      CHECK_THAT(message([&](nlohmann::json& json) { json[at] = other; }),
                 StartsWith("c.json: ") && Contains("expected") && Contains(key));
      walk(member, path + "/" + key);
    }
  };
  walk(good, "");
  CHECK(objects >= 9);
  CHECK(keys > 40);
}

TEST_CASE("a wrong value in a comparison's JSON is named with its path") {
  const std::string method = "/tables/0/methods/1", point = method + "/points/1";
  CHECK(message((point + "/accuracy_drop/1").c_str(), "much") ==
        "c.json: tables[0].methods[1].points[1].accuracy_drop[1]: expected a number, got string");
  CHECK(message((point + "/requirement/0").c_str(), nullptr) ==
        "c.json: tables[0].methods[1].points[1].requirement[0]: expected a number, got null");
  CHECK(message((point + "/divergence/0").c_str(), kNan) ==
        "c.json: tables[0].methods[1].points[1].divergence[0]: expected a finite number, got nan");
  CHECK(message((point + "/divergence").c_str(), {0.1, 0.2, 0.3}) ==
        "c.json: tables[0].methods[1].points[1].divergence: expected 2 values, one a network, got 3");
  CHECK(message((point + "/seconds").c_str(), -1.0) ==
        "c.json: tables[0].methods[1].points[1].seconds: expected 0 or more, got -1");
  CHECK(message((method + "/kind").c_str(), "magic") ==
        "c.json: tables[0].methods[1].kind: expected one of editor, polished, one_shot, canonical, fine_tuned, "
        "retrained, "
        "attribute, got \"magic\"");
  CHECK(message((method + "/accuracy_volume/volume/interval").c_str(), {2.0, 1.0}) ==
        "c.json: tables[0].methods[1].accuracy_volume.volume.interval: expected two numbers, the smaller first");
  CHECK_THAT(message((method + "/accuracy_volume/volume/interval").c_str(), nlohmann::json::array({2.0})),
             Contains("expected two numbers"));
  CHECK(message((method + "/accuracy_volume/editor_wins").c_str(), 1.5) ==
        "c.json: tables[0].methods[1].accuracy_volume.editor_wins: expected a number from 0 to 1, got 1.5");
  CHECK_THAT(message("/tables/1/accuracy/0", 84.0),
             StartsWith("c.json: tables[1].accuracy[0]: expected a number from 0"));
  CHECK_THAT(message("/rows", 1.5), StartsWith("c.json: rows: expected a whole number"));
  CHECK_THAT(message("/rows", -1), StartsWith("c.json: rows: expected a whole number"));
  CHECK_THAT(message("/rows", std::numeric_limits<std::uint64_t>::max()), StartsWith("c.json: rows: expected"));
  CHECK_THAT(message("/tables/0/logarithmic", 1), StartsWith("c.json: tables[0].logarithmic: expected true or false"));
  for (const char* key : {"unedited", "accuracy", "constant_divergence", "useless_drop"})
    CHECK(message((std::string("/tables/0/") + key).c_str(), {0.5}) ==
          std::string("c.json: tables[0].") + key + ": expected 2 values, one a network, got 1");
  for (const char* key : {"requirement", "accuracy_drop"})
    CHECK_THAT(message((point + "/" + key).c_str(), {0.5}), Contains(key) && Contains("expected 2 values"));
  CHECK_THAT(message((method + "/divergence_volume/network").c_str(), {0.5}), Contains("expected 2 values"));
}

TEST_CASE("a comparison that JSON cannot hold is refused") {
  const auto refused = [](const std::function<void(ComparisonTable&)>& change, const char* what) {
    Comparison comparison = small();
    change(comparison.tables[0]);
    CHECK_THROWS_WITH(to_json(comparison), StartsWith("[comparison] pruning") && Contains(what));
  };
  refused([](auto& table) { table.unedited[1] = kNan; }, "finite number as unedited");
  refused([](auto& table) { table.accuracy.pop_back(); }, "expected 2 values of accuracy");
  refused([](auto& table) { table.constant_divergence[0] = kNan; }, "constant_divergence");
  refused([](auto& table) { table.useless_drop.push_back(1.0); }, "useless_drop");
  refused([](auto& table) { table.methods[1].points[0].seconds = kNan; }, "editor_polished: expected a finite");
  refused([](auto& table) { table.methods[1].points[0].network.pop_back(); }, "expected 2 values of a point");
  refused([](auto& table) { table.methods[1].points[0].network[0].requirement = kNan; }, "as requirement");
  refused([](auto& table) { table.methods[1].points[0].network[0].divergence = kNan; }, "as divergence");
  refused([](auto& table) { table.methods[1].points[0].network[0].accuracy_drop = -kNan; }, "as accuracy_drop");
  refused([](auto& table) { table.methods[1].divergence_volume->network.pop_back(); }, "expected 2 values of network");
  refused([](auto& table) { table.methods[1].accuracy_volume.volume.interval.low = kNan; }, "as volume");
  refused([](auto& table) { table.methods[1].accuracy_volume.editor_lead.mean = kNan; }, "as editor_lead");
  refused([](auto& table) { table.methods[1].accuracy_volume.editor_wins = kNan; }, "as editor_wins");
}
