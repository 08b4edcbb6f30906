#include "app/comparison_page.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <limits>
#include <set>

#include "app/page/verdict.hpp"
#include "metanet/data/atomic_file.hpp"
#include "test/support/comparison_example.hpp"
#include "test/support/markup.hpp"

using namespace amend;
using namespace amend::test;
using namespace amend::page;
using Catch::Matchers::Contains;

namespace {

const std::string kHostile = "<script>alert(1)</script>\" onload='x' & ]]> --> </style> {} %s";

/// The page, taken apart; fails the test unless it is well-formed and every number in it is one.
Markup page_of(const Comparison& comparison) {
  const std::string page = comparison_page(comparison);
  Markup markup = parse_markup(page);
  INFO(markup.error);
  REQUIRE(markup.error.empty());
  std::set<std::string> ids;
  for (const Element& element : markup.elements) {
    if (element.name == "style" || element.name == "script") continue;
    std::string text = element.text;
    for (const auto& [key, value] : element.attributes) {
      if (key == "id" && !ids.insert(value).second) FAIL_CHECK("two elements are called " << value);
      text += " " + value;
    }
    std::string word;
    for (char c : text + " ") {
      const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
      if (letter) word += static_cast<char>(c | 0x20);
      if (letter) continue;
      if (word == "nan" || word == "inf") FAIL_CHECK(word << " in <" << element.name << ">: " << text);
      word.clear();
    }
  }
  for (const Element& element : markup.elements) {
    for (const char* reference : {"aria-labelledby", "aria-describedby"})
      if (!element[reference].empty()) CHECK(ids.count(element[reference]) == 1);
    if (element["href"].starts_with("#")) CHECK(ids.count(element["href"].substr(1)) == 1);
  }
  return markup;
}

std::string text_of(const Markup& markup) { return markup.text(markup.elements.front()); }

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

/// Elements that are plots.
std::vector<const Element*> plots(const Markup& markup) {
  std::vector<const Element*> found;
  for (const Element* svg : markup.all("svg"))
    if ((*svg)["class"].starts_with("plot")) found.push_back(svg);
  return found;
}

Comparison first_table(std::size_t methods, std::size_t settings, std::size_t networks) {
  Comparison comparison = comparison_example(methods, settings, networks);
  comparison.tables.resize(1);
  return comparison;
}

/// The leads of the methods after the editor.
Verdict verdict_with(std::vector<Interval> leads) {
  ComparisonTable table = comparison_example(leads.size() + 1, 2, 3).tables[0];
  for (std::size_t m = 0; m < leads.size(); ++m) {
    table.methods[m + 1].kind = MethodKind::fine_tuned;
    table.methods[m + 1].divergence_volume->editor_lead = {0.5 * (leads[m].low + leads[m].high), leads[m]};
  }
  return verdict_of(table, true);
}

}  // namespace

TEST_CASE("the comparison page shows every table and method") {
  const Comparison comparison = comparison_example();
  const Markup markup = page_of(comparison);
  const std::string text = text_of(markup);
  CHECK(markup.elements.front()["lang"] == "en");
  CHECK(markup.all("title").front()->text == comparison.title);
  REQUIRE(markup.all("h1").size() == 1);
  CHECK(markup.all("section").size() == 1 + comparison.tables.size());
  CHECK(plots(markup).size() == 3 * 7);
  CHECK(markup.all("table").size() == 1 + 2 * 3);
  CHECK(markup.all("caption").size() == 1 + 2 * 3);
  for (const Element* cell : markup.all("th")) CHECK_FALSE((*cell)["scope"].empty());
  for (const Element* svg : plots(markup)) {
    CHECK((*svg)["role"] == "img");
    CHECK_FALSE((*svg)["aria-labelledby"].empty());
    CHECK_FALSE((*svg)["aria-describedby"].empty());
  }
  for (const std::string& words : {comparison.dataset, comparison.hardware, comparison.command, comparison.version})
    CHECK_THAT(text, Contains(words));
  CHECK_THAT(text, Contains("smaller is better") && Contains("hypervolume is the share"));
  for (const ComparisonTable& table : comparison.tables) {
    CHECK_THAT(text, Contains(table.axis) && Contains(table.networks));
    for (const ComparedMethod& method : table.methods) CHECK(count(text, method.title) >= 8);
    for (const ComparedPoint& point : table.methods[0].points) CHECK_THAT(text, Contains(point.setting));
  }
  CHECK(comparison_page(comparison) == comparison_page(comparison));
}

TEST_CASE("the comparison page's numbers are those of the comparison") {
  Comparison comparison = first_table(2, 1, 4);
  ComparedPoint& point = comparison.tables[0].methods[1].points[0];
  const double requirement[] = {0.1, 0.2, 0.3, 0.4}, divergence[] = {0.01, 0.02, 0.03, 0.06}, drop[] = {-1, 0, 1.5, 3};
  for (std::size_t n = 0; n < 4; ++n) point.network[n] = {requirement[n], divergence[n], drop[n]};
  point.seconds = 0.25;
  ComparedVolume& volume = comparison.tables[0].methods[1].accuracy_volume;
  volume.volume = {0.6543, {0.6, 0.7}};
  volume.editor_lead = {-0.0321, {-0.05, -0.01}};
  volume.editor_wins = 0.25;
  const Markup markup = page_of(comparison);
  const auto row_of = [&](std::size_t table, const std::string& heading) {
    std::vector<std::string> cells;
    bool within = false;
    std::size_t tables = 0;
    for (const Element& element : markup.elements) {
      if (element.name == "table") ++tables;
      if (element.name == "th" && tables == table + 1) within = element.text.starts_with(heading);
      if (element.name == "td" && within && tables == table + 1) cells.push_back(markup.text(element));
    }
    return cells;
  };
  const auto method = row_of(1, "editor, then 50 steps");
  REQUIRE(method.size() == 8);
  CHECK(method[3] == "0.654 0.600 to 0.700");
  CHECK(method[4] == "\u22120.0321 \u22120.0500 to \u22120.0100");
  CHECK(method[5] == "25%");
  CHECK(method[6] == "250");
  CHECK(method[7] == "learning rate 0.001");
  const auto setting = row_of(2, point.setting);
  REQUIRE(setting.size() == 2 * 6);
  CHECK(setting[6] == "0.250");
  CHECK_THAT(setting[7], Catch::Matchers::StartsWith("0.0300 0.0"));
  CHECK_THAT(setting[8], Catch::Matchers::StartsWith("0.88 "));
  CHECK(setting[9] == "3.00");
  CHECK(setting[10] == comparison.tables[0].network[3]);
  CHECK(setting[11] == "2 of 4");
}

TEST_CASE("a method that is far worse leaves the plot, and the page says so") {
  Comparison comparison = first_table(2, 4, 5);
  CHECK_THAT(text_of(page_of(comparison)), !Contains("leave the plot at its top"));
  for (ComparedPoint& point : comparison.tables[0].methods[1].points)
    for (ComparedNetwork& network : point.network) {
      network.divergence = 40.0 * network.divergence.value();
      network.accuracy_drop += 60.0;
    }
  const Markup markup = page_of(comparison);
  CHECK(count(text_of(markup), "leave the plot at its top") == 2);
  CHECK(markup.all("clipPath").size() == 2);
}

TEST_CASE("the comparison page says who wins, the editor's losses too") {
  const Verdict wins = verdict_with({{0.1, 0.2}, {0.01, 0.02}});
  CHECK(wins.outcome == Outcome::wins);
  CHECK(wins.brief == "ahead of all 2");
  CHECK_THAT(wins.sentence, Contains("the editor wins") && Contains("ahead of all 2 others"));

  const Verdict unclear = verdict_with({{0.1, 0.2}, {-0.01, 0.02}});
  CHECK(unclear.outcome == Outcome::unbeaten);
  CHECK(unclear.brief == "ahead of 1 of 2, 1 unclear");
  CHECK_THAT(unclear.sentence,
             Contains("neither beaten nor a clear winner") && Contains("from \u201cmagnitude\u201d may be chance"));

  const Verdict loses = verdict_with({{-0.03, -0.01}, {0.01, 0.02}, {-0.01, 0.02}});
  CHECK(loses.outcome == Outcome::loses);
  CHECK(loses.brief == "loses to 1 of 3");
  CHECK_THAT(loses.sentence, Contains("the editor loses to 1 of 3 others: \u201ceditor, then 50 steps\u201d (trained "
                                      "per network; by 0.0200, 0.0100 to 0.0300)") &&
                                 Contains("ahead of 1 of 3") && Contains("\u201cOBD\u201d may be chance"));

  // The editor is not held against itself with training after it.
  ComparisonTable polished = comparison_example(3, 2, 3).tables[0];
  for (ComparedMethod& method : polished.methods) method.divergence_volume->editor_lead = {-0.2, {-0.3, -0.1}};
  REQUIRE(polished.methods[1].kind == MethodKind::polished);
  polished.methods[2].divergence_volume->editor_lead = {0.2, {0.1, 0.3}};
  CHECK(verdict_of(polished, true).brief == "ahead of the other");

  CHECK(verdict_with({{-0.03, -0.01}}).sentence.find("loses to the other method") != std::string::npos);
  CHECK(verdict_with({}).outcome == Outcome::alone);
  // An interval that touches zero proves nothing.
  CHECK(verdict_with({{0.0, 0.1}}).outcome == Outcome::unbeaten);
  CHECK(verdict_with({{-0.1, 0.0}}).outcome == Outcome::unbeaten);

  Comparison comparison = comparison_example();
  for (ComparisonTable& table : comparison.tables) table.methods[1].kind = MethodKind::fine_tuned;
  const Markup markup = page_of(comparison);
  const std::string text = text_of(markup);
  CHECK_THAT(text, Contains("By divergence, the editor wins") && Contains("By divergence, the editor loses to"));
  // Where only the editor has a divergence, accuracy decides.
  CHECK(verdict_of(comparison.tables[2], false).outcome == Outcome::loses);
  std::vector<std::string> first;
  for (const Element* paragraph : markup.all("p"))
    if ((*paragraph)["class"] == "verdict") first.push_back(paragraph->text);
  REQUIRE(first.size() == 3);
  CHECK(first[0] == verdict_of(comparison.tables[0], true).sentence);
  CHECK(first[2] == verdict_of(comparison.tables[2], false).sentence);
}

TEST_CASE("from one network nothing follows") {
  const Comparison comparison = first_table(3, 2, 1);
  CHECK(verdict_of(comparison.tables[0], true).outcome == Outcome::unbeaten);
  CHECK_THAT(text_of(page_of(comparison)), Contains("One network cannot tell a difference from chance"));
}

TEST_CASE("hostile names are text on the comparison page") {
  Comparison comparison = comparison_example(2, 2, 2);
  comparison.title = comparison.dataset = comparison.version = comparison.hardware = comparison.command = kHostile;
  for (ComparisonTable& table : comparison.tables) {
    table.requirement = table.axis = table.networks = kHostile;
    for (std::string& name : table.network) name = kHostile;
    for (ComparedMethod& method : table.methods) {
      method.name = method.title = method.tuned = kHostile;
      for (ComparedPoint& point : method.points) point.setting = kHostile;
    }
  }
  const Markup markup = page_of(comparison);
  CHECK(markup.all("script").size() == 1);
  CHECK(markup.all("style").size() == 1);
  CHECK(count(comparison_page(comparison), "alert(1)<") == 0);
  CHECK(count(text_of(markup), kHostile) > 50);
  for (const Element& element : markup.elements)
    for (const auto& [key, value] : element.attributes) CHECK_FALSE(key.starts_with("on"));

  // Bytes that are no text would make the page unreadable for XML.
  comparison.title = "a\x01\x7f\xff\xc3(\xed\xa0\x80\xc0\xaf\xf4\x90\x80\x80\xef\xbf\xbf \u00e9\u4e2d\U0001F600\xc3";
  const Markup odd = page_of(comparison);
  const std::string title = odd.all("h1").front()->text;
  CHECK_THAT(title, Contains("\u00e9\u4e2d\U0001F600"));
  CHECK(title.find_first_of("\x01\x7f\xff\xc0\xed") == std::string::npos);
  CHECK(count(title, "\ufffd") == 17);
}

TEST_CASE("the comparison page fetches nothing") {
  const Markup markup = page_of(comparison_example(2, 2, 2));
  for (const char* name : {"img", "iframe", "object", "embed", "base", "form"}) CHECK(markup.all(name).empty());
  for (const Element& element : markup.elements)
    for (const char* key : {"src", "href", "action", "xlink:href"})
      if (const std::string value = element[key]; !value.empty()) CHECK((value.starts_with("#") || value == "data:,"));
  const std::string page = comparison_page(comparison_example(2, 2, 2));
  for (const char* part : {"url(", "@import", "fetch(", "XMLHttp", "import("})
    CHECK(page.find(part) == std::string::npos);
}

TEST_CASE("degenerate comparisons give a valid page") {
  page_of({});
  Comparison comparison = first_table(3, 3, 3);

  SECTION("no methods") { comparison.tables[0].methods.clear(); }
  SECTION("no networks") {
    ComparisonTable& table = comparison.tables[0];
    table.network.clear();
    for (auto* values : {&table.unedited, &table.accuracy, &table.constant_divergence, &table.useless_drop})
      values->clear();
    for (ComparedMethod& method : table.methods) {
      method.divergence_volume->network.clear();
      method.accuracy_volume.network.clear();
      for (ComparedPoint& point : method.points) point.network.clear();
    }
  }
  SECTION("only the editor") { comparison.tables[0].methods.resize(1); }
  SECTION("one network") { comparison = first_table(3, 3, 1); }
  SECTION("one setting") { comparison = first_table(3, 1, 3); }
  SECTION("one network at one setting") { comparison = first_table(1, 1, 1); }
  SECTION("no settings") {
    for (ComparedMethod& method : comparison.tables[0].methods) method.points.clear();
  }
  SECTION("a method without settings") { comparison.tables[0].methods[1].points.clear(); }
  SECTION("no names") {
    comparison.title.clear();
    comparison.tables[0].axis.clear();
    comparison.tables[0].requirement.clear();
    for (ComparedMethod& method : comparison.tables[0].methods) method.title.clear();
  }
  SECTION("no divergence") {
    for (ComparedMethod& method : comparison.tables[0].methods) {
      method.divergence_volume.reset();
      for (ComparedPoint& point : method.points)
        for (ComparedNetwork& network : point.network) network.divergence.reset();
    }
  }
  SECTION("a network without divergence") {
    comparison.tables[0].methods[1].points[1].network[1].divergence.reset();
    comparison.tables[0].methods[1].divergence_volume.reset();
  }
  SECTION("all values equal") {
    const double value = GENERATE(0.0, 1.0, -2.5, 1e-12, 1e12);
    for (const bool logarithmic : {true, false}) {
      ComparisonTable& table = comparison.tables[0];
      table.logarithmic = logarithmic;
      for (auto* values : {&table.unedited, &table.constant_divergence, &table.useless_drop})
        std::fill(values->begin(), values->end(), value);
      for (ComparedMethod& method : table.methods) {
        for (ComparedVolume* volume : {&*method.divergence_volume, &method.accuracy_volume})
          volume->volume = volume->editor_lead = {value, {value, value}};
        for (ComparedPoint& point : method.points) {
          point.seconds = std::max(0.0, value);
          for (ComparedNetwork& network : point.network) network = {value, value, value};
        }
      }
      page_of(comparison);
    }
  }
  SECTION("huge and tiny values") {
    for (const double scale : {1e-300, 1e-9, 1e9, 1e100})
      for (const bool logarithmic : {true, false}) {
        Comparison scaled = comparison;
        scaled.tables[0].logarithmic = logarithmic;
        for (ComparedPoint& point : scaled.tables[0].methods[1].points)
          for (ComparedNetwork& network : point.network)
            network = {scale * network.requirement, scale * *network.divergence, scale * network.accuracy_drop};
        page_of(scaled);
      }
  }
  SECTION("the requirement met to zero on a logarithmic axis") {
    for (ComparedNetwork& network : comparison.tables[0].methods[0].points.back().network) network.requirement = 0.0;
    const Markup markup = page_of(comparison);
    bool zero = false;
    for (const Element* text : markup.all("text"))
      zero = zero || ((*text)["text-anchor"] == "middle" && text->text == "0");
    CHECK(zero);
  }
  SECTION("more methods than marks") {
    for (int copy = 0; copy < 60; ++copy) comparison.tables[0].methods.push_back(comparison.tables[0].methods[1]);
  }
  const Markup markup = page_of(comparison);
  CHECK(markup.all("section").size() == 2);
}

TEST_CASE("the comparison page refuses numbers that are none") {
  Comparison comparison = first_table(2, 2, 2);
  comparison.tables[0].methods[1].points[0].seconds = std::numeric_limits<double>::infinity();
  CHECK_THROWS_WITH(comparison_page(comparison), Contains("[comparison_page] pruning, editor_polished"));
}

// Hidden: test/scripts/comparison_page_test.py looks at the page in a browser.
TEST_CASE("writes the example page to AMEND_PAGE", "[.page]") {
  const char* path = std::getenv("AMEND_PAGE");
  REQUIRE(path);
  write_file_atomically(path, comparison_page(comparison_example()));
}
