#include "metanet/data/csv.hpp"

#include <catch2/catch.hpp>
#include <string>

#include "engine/error.hpp"
#include "metanet/data/sha256.hpp"

using amend::CsvFormat;
using amend::CsvTable;
using amend::InputError;
using Catch::Matchers::Message;

namespace {

CsvTable parse(const std::string& text, const CsvFormat& format = {',', false, 0}, int columns = 0) {
  return amend::parse_csv({text.begin(), text.end()}, format, columns, "t.csv");
}

}  // namespace

TEST_CASE("csv splits cells and trims the blanks around them") {
  const CsvTable table = parse("a, b ,c\n1,, 3\n");
  REQUIRE(table.rows() == 2);
  CHECK(table.columns == 3);
  CHECK(table.cell(0, 1) == "b");
  CHECK(table.cell(1, 1).empty());
  CHECK(table.cell(1, 2) == "3");
}

TEST_CASE("csv quotes hold separators, line ends and doubled quotes") {
  const CsvTable table =
      parse("\"a;b\";\"say \"\"no\"\"\"; x\"y \n \"two\r\nlines\" ;\"\";3\n4;5;6\n", {';', false, 0});
  REQUIRE(table.rows() == 3);
  CHECK(table.cell(0, 0) == "a;b");
  CHECK(table.cell(0, 1) == "say \"no\"");
  CHECK(table.cell(0, 2) == "x\"y");
  CHECK(table.cell(1, 0) == "two\r\nlines");
  CHECK(table.cell(1, 1).empty());
  CHECK(table.cell(2, 0) == "4");
  CHECK(table.lines == std::vector<std::int64_t>{1, 2, 4});
}

TEST_CASE("csv accepts CRLF, a missing last line end, blank lines and a byte order mark") {
  for (const char* text : {"a,b\r\n1,2\r\n", "a,b\n1,2", "a,b\r\n1,2\r",
                           "\xEF\xBB\xBF"
                           "a,b\n\n1,2\n\n  \r\n\n"}) {
    const CsvTable table = parse(text, {',', true, 0});
    REQUIRE(table.rows() == 1);
    CHECK(table.header[0] == "a");
    CHECK(table.header[1] == "b");
    CHECK(table.cell(0, 0) == "1");
    CHECK(table.cell(0, 1) == "2");
  }
}

TEST_CASE("csv takes blanks and tabs as separators") {
  CHECK(parse("A11 6 A34\n", {' ', false, 0}).columns == 3);
  const CsvTable table = parse("x\t\ty z\n", {'\t', false, 0});
  CHECK(table.columns == 3);
  CHECK(table.cell(0, 1).empty());
  CHECK(table.cell(0, 2) == "y z");
}

TEST_CASE("csv skips lines before the data and counts them") {
  const CsvTable table = parse("|1x3 Cross validator\n1,2\n", {',', false, 1}, 2);
  CHECK(table.lines == std::vector<std::int64_t>{2});
  CHECK_THROWS_AS(parse("one line\n", {',', false, 2}), InputError);
}

TEST_CASE("csv names the line of a ragged row") {
  CHECK_THROWS_MATCHES(parse("1,2\n\"a\nb\",2\n3\n"), InputError, Message("t.csv: line 4: expected 2 columns, got 1"));
  CHECK_THROWS_MATCHES(parse("1,2,3\n", {',', false, 0}, 2), InputError,
                       Message("t.csv: line 1: expected 2 columns, got 3"));
}

TEST_CASE("csv names the line of a broken quote") {
  CHECK_THROWS_MATCHES(parse("1,2\n3,\"open\n5,6\n"), InputError,
                       Message("t.csv: line 2: a quote is opened and never closed"));
  CHECK_THROWS_AS(parse("\"a\"b,2\n"), InputError);
  CHECK_THROWS_AS(parse("\""), InputError);
}

TEST_CASE("an empty csv has no rows, and no header where one is due") {
  CHECK(parse("").rows() == 0);
  CHECK(parse("\n\n").rows() == 0);
  CHECK_THROWS_AS(parse("", {',', true, 0}), InputError);
}

TEST_CASE("sha256 agrees with FIPS 180-2 examples") {
  CHECK(amend::sha256_hex("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(amend::Sha256().update("a").update("bc").hex() == amend::sha256_hex("abc"));
  CHECK(amend::sha256_hex("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}
