#include "requirements/comparison/comparison_csv.hpp"

#include <catch2/catch.hpp>
#include <limits>
#include <string>

#include "metanet/data/csv.hpp"
#include "test/support/comparison_example.hpp"

using namespace amend;
using namespace amend::test;
using Catch::Matchers::StartsWith;

namespace {

CsvTable parsed(const std::string& text) {
  return parse_csv(std::vector<char>(text.begin(), text.end()), {}, 0, "comparison.csv");
}

int column(const CsvTable& table, const std::string& name) {
  for (int c = 0; c < table.columns; ++c)
    if (table.header[static_cast<std::size_t>(c)] == name) return c;
  FAIL("no column " << name);
  return -1;
}

}  // namespace

TEST_CASE("a comparison's CSV has a row for every network at every setting") {
  const Comparison comparison = comparison_example(4, 3, 5);
  const std::string text = comparison_csv(comparison);
  const CsvTable table = parsed(text);
  CHECK(text.find('\r') == std::string::npos);
  REQUIRE(table.columns == 17);
  std::int64_t row = 0;
  for (const ComparisonTable& own : comparison.tables)
    for (const ComparedMethod& method : own.methods)
      for (const ComparedPoint& point : method.points)
        for (std::size_t n = 0; n < own.network.size(); ++n, ++row) {
          REQUIRE(row < table.rows());
          const auto cell = [&](const char* name) { return std::string(table.cell(row, column(table, name))); };
          CHECK(cell("dataset") == comparison.dataset);
          CHECK(cell("requirement") == own.requirement);
          CHECK(cell("networks") == own.networks);
          CHECK(cell("method") == method.name);
          CHECK(cell("title") == method.title);
          CHECK(cell("kind") == to_string(method.kind));
          CHECK(cell("tuned") == method.tuned);
          CHECK(cell("setting") == point.setting);
          CHECK(std::stod(cell("seconds")) == point.seconds);
          CHECK(cell("network") == own.network[n]);
          CHECK(std::stod(cell("value")) == point.network[n].requirement);
          if (point.network[n].divergence)
            CHECK(std::stod(cell("divergence")) == *point.network[n].divergence);
          else
            CHECK(cell("divergence").empty());
          CHECK(std::stod(cell("accuracy_drop")) == point.network[n].accuracy_drop);
          CHECK(std::stod(cell("unedited")) == own.unedited[n]);
          CHECK(std::stod(cell("accuracy")) == own.accuracy[n]);
          CHECK(std::stod(cell("constant_divergence")) == own.constant_divergence[n]);
          CHECK(std::stod(cell("useless_drop")) == own.useless_drop[n]);
        }
  CHECK(row == table.rows());
}

TEST_CASE("a comparison's CSV quotes what needs it") {
  for (const std::string name : {"a,b", "say \"no\"", "two\nlines", "two\r\nlines", " blank before", "blank after ",
                                 "\ttab", "\"", ",", "plain", "=1+1", "\u00e9\u4e2d"}) {
    Comparison comparison = comparison_example(1, 1, 1);
    comparison.tables.resize(1);
    ComparisonTable& own = comparison.tables[0];
    comparison.dataset = own.requirement = own.networks = own.network[0] = name;
    own.methods[0].name = own.methods[0].title = own.methods[0].tuned = own.methods[0].points[0].setting = name;
    const CsvTable table = parsed(comparison_csv(comparison));
    INFO(name);
    REQUIRE(table.rows() == 1);
    for (const char* key : {"dataset", "requirement", "networks", "method", "title", "tuned", "setting", "network"})
      CHECK(table.cell(0, column(table, key)) == name);
  }
  Comparison comparison = comparison_example(1, 1, 1);
  comparison.dataset = "a \"b\"";
  const std::string text = comparison_csv(comparison);
  CHECK_THAT(text.substr(text.find('\n') + 1), StartsWith("\"a \"\"b\"\"\",pruning,held-out,editor,"));
  comparison.dataset = "a\rb";
  CHECK_THAT(comparison_csv(comparison), Catch::Matchers::Contains("\n\"a\rb\",pruning,"));
}

TEST_CASE("a comparison's CSV refuses lengths that differ") {
  Comparison comparison = comparison_example(2, 2, 3);
  comparison.tables[1].methods[1].points[1].network.pop_back();
  CHECK_THROWS_WITH(comparison_csv(comparison),
                    StartsWith("[comparison_csv] pruning, editor_polished: expected 3 values"));
}
