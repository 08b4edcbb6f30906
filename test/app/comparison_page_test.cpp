#include "app/comparison_page.hpp"

#include <catch2/catch.hpp>
#include <cstdlib>

#include "metanet/data/atomic_file.hpp"
#include "test/support/comparison_example.hpp"

using namespace amend;
using namespace amend::test;

// Hidden: test/scripts/comparison_page_test looks at the page in a browser.
TEST_CASE("writes the example page to AMEND_PAGE", "[.page]") {
  const char* path = std::getenv("AMEND_PAGE");
  REQUIRE(path);
  write_file_atomically(path, comparison_page(comparison_example()));
}
