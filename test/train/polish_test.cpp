#include "metanet/train/polish.hpp"

#include <catch2/catch.hpp>

#include "metanet/graph/predict.hpp"
#include "requirements/registry.hpp"
#include "test/support/editor_setup.hpp"

namespace amend {

TEST_CASE("polishing is fine-tuning towards the originals with the condition's lambdas on groups") {
  const Dataset dataset = test::small_dataset();
  TrainedEditor trained = test::small_editor({.requirements = {"pruning", "equalised_odds", "demographic_parity"}},
                                             dataset, DType::float32);
  const auto networks = test::mixed_networks(4);
  const auto pointers = pointers_to(networks);
  auto lambda = test::spread_lambda(trained, networks.size());
  for (std::size_t n = 0; n < 4; ++n) lambda[3 * n] = 1e-7;  // an editor that has learned nothing closes all otherwise
  BatchEditor editor(trained, dataset);
  const auto edits = editor.edit(pointers, lambda);
  auto polished = edits;
  polish(polished, pointers, lambda, trained, dataset, 7);

  std::vector<const SubjectNetwork*> edited;
  std::vector<double> on_groups;
  for (std::size_t n = 0; n < 4; ++n) {
    edited.push_back(&edits[n].network);
    on_groups.insert(on_groups.end(), {lambda[3 * n + 1], lambda[3 * n + 2]});
  }
  const auto expected = fine_tune(edited, pointers, dataset, dataset.editor_train,
                                  {.steps = 7,
                                   .requirements = make_requirements({"equalised_odds", "demographic_parity"}, "test"),
                                   .sensitive = trained.config.sensitive},
                                  on_groups);
  for (std::size_t n = 0; n < 4; ++n) {
    CHECK(polished[n].network.weights == expected[n].weights);
    CHECK(polished[n].network.biases == expected[n].biases);
    CHECK(polished[n].network.weights != edits[n].network.weights);
    CHECK(polished[n].features == edits[n].features);
    for (std::size_t e = 0; e < edits[n].network.weights.size(); ++e)
      CHECK((polished[n].network.weights[e] == 0.0f) == (edits[n].network.weights[e] == 0.0f));
  }
  CHECK_THROWS(polish(polished, pointers, std::span(lambda).first(5), trained, dataset, 7));
}

}  // namespace amend
