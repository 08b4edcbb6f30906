#include "app/editor_summary.hpp"

#include <catch2/catch.hpp>

#include "test/support/editor_setup.hpp"

namespace amend {
namespace {

TEST_CASE("`info` of an editor names the switches that are not as they are by default", "[cli]") {
  const Dataset dataset = test::small_dataset();
  const auto plain = test::small_editor({.requirements = {"pruning"}}, dataset, DType::float32);
  CHECK_THAT(editor_text(plain), !Catch::Contains("editor.") && !Catch::Contains("training."));
  CHECK(editor_json(plain)["switches"].empty());
  const auto turned = test::small_editor({.requirements = {"pruning"},
                                          .editor = ", probe_features: false, edits: mask",
                                          .more = "  scalarisation: chebyshev\n"},
                                         dataset, DType::float32);
  CHECK_THAT(editor_text(turned), Catch::Contains("\n  editor.probe_features: false\n  editor.edits: mask\n"
                                                  "  training.scalarisation: chebyshev\n"));
  CHECK(editor_json(turned)["switches"] == nlohmann::ordered_json{{"editor.probe_features", false},
                                                                  {"editor.edits", "mask"},
                                                                  {"training.scalarisation", "chebyshev"}});
}

}  // namespace
}  // namespace amend
