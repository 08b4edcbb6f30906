#include "app/page/html_text.hpp"

#include <catch2/catch.hpp>

using namespace amend;
using namespace amend::page;

TEST_CASE("text is escaped for elements and attributes") {
  CHECK(escaped("<a href=\"x\" title='y'>&amp;</a>") ==
        "&lt;a href=&quot;x&quot; title=&#39;y&#39;&gt;&amp;amp;&lt;/a&gt;");
  CHECK(escaped("\u00e9\u4e2d\U0001F600\u2212") == "\u00e9\u4e2d\U0001F600\u2212");
  CHECK(escaped("two\nlines\tand") == "two lines and");
  CHECK(escaped("").empty());
}

TEST_CASE("what is no character of XML is replaced") {
  const std::string mark = "\ufffd";
  for (const char* byte : {"\x01", "\x1f", "\x7f", "\r", "\x80", "\xbf", "\xc0", "\xff", "\xc3"})
    CHECK(escaped(byte) == mark);
  CHECK(escaped(std::string(1, '\0')) == mark);
  CHECK(escaped("\xc3(") == mark + "(");
  CHECK(escaped("\xe4\xb8") == mark + mark);             // cut short
  CHECK(escaped("\xc2\x85") == mark + mark);             // a control character of two bytes
  CHECK(escaped("\xe0\x80\xbc") == mark + mark + mark);  // `<` in three bytes
  CHECK(escaped("\xed\xa0\x80") == mark + mark + mark);  // a surrogate
  CHECK(escaped("\xef\xbf\xbf") == mark + mark + mark);  // U+FFFF
  CHECK(escaped("\xf4\x90\x80\x80") == mark + mark + mark + mark);
  CHECK(escaped("\xf0\x82\x82\xac") == mark + mark + mark + mark);  // three bytes' worth in four
}

TEST_CASE("numbers are written for people") {
  CHECK(decimals(1.25, 1) == "1.2");
  CHECK(decimals(-0.5, 2) == "\u22120.50");
  CHECK(decimals(-0.0001, 2) == "0.00");
  CHECK(significant(0.0) == "0");
  CHECK(significant(0.78432) == "0.784");
  CHECK(significant(0.001234) == "0.00123");
  CHECK(significant(-12.34) == "\u221212.3");
  CHECK(significant(16281.0) == "16281");
  CHECK(duration(0.0031) == "3.10 ms");
  CHECK(duration(0.0) == "0 ms");
  CHECK(duration(2.5) == "2.50 s");
  CHECK(duration(240.0) == "4.00 min");
  CHECK(with_interval({0.5, {-0.25, 0.75}}, 2) == "0.50 (\u22120.25 to 0.75)");
}
