#include "requirements/baseline/retraining.hpp"

#include <catch2/catch.hpp>
#include <cmath>

#include "metanet/graph/predict.hpp"
#include "metanet/train/fine_tuning.hpp"
#include "requirements/metric/feature_use.hpp"
#include "test/support/editor_setup.hpp"

namespace amend {

TEST_CASE("untrained networks have the shapes, the features and the spread that were asked for") {
  const Dataset dataset = test::small_dataset();
  auto networks = test::mixed_networks(3);
  networks.push_back(test::random_network({7, 400, 2}, Activation::relu, 4));
  const std::vector<std::vector<std::uint8_t>> uses = {
      {1, 1, 1, 1, 1}, {0, 1, 1, 0, 0}, {0, 0, 1, 0, 0}, {1, 0, 1, 0, 1}};
  const auto pointers = pointers_to(networks);
  const auto fresh = untrained_like(pointers_to(networks), dataset, uses, 5);
  REQUIRE(fresh.size() == 4);
  for (std::size_t n = 0; n < 4; ++n) {
    CHECK(fresh[n].name == networks[n].name);
    CHECK(fresh[n].widths == networks[n].widths);
    CHECK(fresh[n].activation == networks[n].activation);
    CHECK(fresh[n].weights != networks[n].weights);
    CHECK(used_features(fresh[n], dataset.features) == uses[n]);
  }
  double squares = 0.0;  // of feature a, one of three: variance 2 / 3
  for (std::size_t i = 0; i < 400; ++i) squares += std::pow(static_cast<double>(fresh[3].weights[7 * i]), 2) / 400.0;
  CHECK(squares == Approx(2.0 / 3.0).epsilon(0.2));
  const auto blind =
      untrained_like(std::span(pointers).first(1), dataset, std::vector<std::vector<std::uint8_t>>{{0, 0, 0, 0, 0}}, 5);
  CHECK(used_features(blind[0], dataset.features) == std::vector<std::uint8_t>(5, 0));
  CHECK_NOTHROW(validate(blind[0], "test"));
  CHECK(untrained_like(pointers_to(networks), dataset, uses, 5)[2].weights == fresh[2].weights);
  CHECK(untrained_like(pointers_to(networks), dataset, uses, 6)[2].weights != fresh[2].weights);
  CHECK_THROWS(untrained_like(pointers_to(networks), dataset, std::span(uses).first(2), 5));

  // Training leaves unused features unused.
  const auto trained = fine_tune(pointers_to(fresh), {}, dataset, dataset.editor_train,
                                 {.target = FineTuningTarget::labels, .steps = 5, .rows = 16});
  for (std::size_t n = 0; n < 4; ++n) CHECK(used_features(trained[n], dataset.features) == uses[n]);
}

}  // namespace amend
