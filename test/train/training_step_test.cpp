#include "metanet/train/training_step.hpp"

#include <catch2/catch.hpp>
#include <cmath>

#include "autograd/op/divergence.hpp"
#include "autograd/op/subject_forward.hpp"
#include "test/support/editor_setup.hpp"
#include "test/support/op_run.hpp"

namespace amend {
namespace {

/// Changes one feature of an edited network the way a person would: a closed one comes back with its original weights
/// and leaves the open ones what they lent it; an open one is cut out and replaced by its mean.
void flip(SubjectNetwork& edited, const SubjectNetwork& original, const Feature& feature, bool open,
          const std::vector<double>& beta, const std::vector<double>& mean) {
  const auto inputs = static_cast<std::size_t>(edited.widths[0]);
  for (std::size_t i = 0; i < static_cast<std::size_t>(edited.widths[1]); ++i) {
    float* row = edited.weights.data() + i * inputs;
    double shift = 0.0;
    std::vector<double> change(inputs, 0.0);
    for (int k = 0; k < feature.input_count; ++k) {
      const auto j = static_cast<std::size_t>(feature.first_input + k);
      if (open) {
        change[j] -= row[j];
        continue;
      }
      const double w = original.weights[i * inputs + j];
      change[j] += w;
      for (std::size_t q = 0; q < inputs; ++q) change[q] -= w * beta[j * inputs + q];
    }
    for (std::size_t j = 0; j < inputs; ++j) {
      row[j] += static_cast<float>(change[j]);
      shift -= change[j] * mean[j];
    }
    edited.biases[i] += static_cast<float>(shift);
  }
}

TEST_CASE("gates of features learn what closing or opening each of them really changes") {
  const Dataset dataset = test::small_dataset();
  // One pass whose heads start at zero: the logit of a gate is half its prior.
  const std::int64_t kSteps = 10;
  const std::string kind = GENERATE("linear", "chebyshev");
  const TrainedEditor trained =
      test::small_editor({.requirements = {"data_minimisation"},
                          .messages = 0,
                          .more = "  steps: 10\n  deep_loss: 0\n  scalarisation: " + kind + "\n"},
                         dataset, DType::float32, 0.0);
  const auto networks = test::mixed_networks(5);
  std::vector<const SubjectNetwork*> pointers;
  for (const SubjectNetwork& network : networks) pointers.push_back(&network);
  Arena arena;
  const EditorData data = make_editor_data(dataset, {}, arena, DType::float32);
  const RowSampler sampler(dataset, dataset.editor_train, {});
  const RowBatch probe_rows = sampler.draw(arena, 200, 0, RandomStream(1, 1), DType::float32);
  const ProbeCache cache(*trained.editor, data, pointers, probe_rows);
  TrainingStep step(trained);

  bool saw_open = false, saw_closed = false;
  for (int n = 0; n < 5; ++n) {
    // In the middle of the network's own prices, so that some gates are open and some closed.
    const GraphBatch graph({&pointers[static_cast<std::size_t>(n)], 1});
    EditorInputs cached = make_inputs(graph, *trained.editor, data, arena);
    cache.gather(cache.stage(std::span(&n, 1), arena), cached, arena, Stream{});
    const BatchProbe& probe = cached.probe;
    const auto features = static_cast<std::size_t>(trained.editor->shape().features);
    std::vector<double> price;
    for (std::size_t f = 0; f < features; ++f)
      price.push_back(static_cast<double>(features) *
                      std::sqrt(static_cast<double>(probe.feature_saliency.as<float>()[f]) *
                                static_cast<double>(probe.unique_saliency.as<float>()[f])));
    std::vector<double> sorted = price;
    std::sort(sorted.begin(), sorted.end());
    const double lambda = std::sqrt(sorted[1] * sorted[2]), weight = 0.7;

    const RandomStream loss_stream(2, 3);
    const LossTerms& terms = step.run({.data = &data,
                                       .cache = &cache,
                                       .picks = std::span(&n, 1),
                                       .lambda = std::span(&lambda, 1),
                                       .weight = std::span(&weight, 1),
                                       .probe_sampler = &sampler,
                                       .loss_sampler = &sampler,
                                       .probe_stream = RandomStream(2, 2),
                                       .loss_stream = loss_stream,
                                       .probe_rows = 64,
                                       .probe_cell_rows = 0,
                                       .rows = 150,
                                       .cell_rows = 0,
                                       .training = true,
                                       .step = static_cast<std::uint32_t>(kSteps),  // the noise is gone by then
                                       .shard = 0});
    const double now = terms.divergence[0].value().as<float>()[0];

    // The edited network, from the editor itself, and every flip of it on the rows of the loss.
    Tape tape(arena, Stream{}), inner(arena, Stream{});
    tape.set_recording(false);
    EditorInputs inputs = make_inputs(graph, {&pointers[static_cast<std::size_t>(n)], 1}, *trained.editor, data, arena);
    encode_condition(inputs, std::span(&lambda, 1), trained.config.lambda, arena, DType::float32);
    inputs.probe = probe;
    std::vector<EditorPass> passes;
    trained.editor->run(tape, inputs, passes);
    SubjectNetwork edited = networks[static_cast<std::size_t>(n)];
    graph.scatter(0, passes[0].edited.weight.value(), passes[0].edited.bias.value(), edited);
    const RowBatch rows = sampler.draw(arena, 150, 0, loss_stream, DType::float32);
    const std::vector<double> gate = test::values(passes[0].feature_gate.value()), beta = test::values(passes[0].beta);
    const test::Matrix x(rows.x);
    std::vector<double> mean(static_cast<std::size_t>(dataset.inputs), 0.0);
    for (std::int64_t r = 0; r < 150; ++r)
      for (std::size_t j = 0; j < mean.size(); ++j) mean[j] += x(r, static_cast<std::int64_t>(j)) / 150.0;
    const auto divergence = [&](const SubjectNetwork& changed) {
      const SubjectNetwork* two[] = {pointers[static_cast<std::size_t>(n)], &changed};
      const auto logits = [&](const SubjectNetwork* one) {
        const test::RandomBatch batch = test::make_batch({*one}, DType::float32);
        return op::subject_forward(tape, batch.table(), tape.constant(batch.weight), tape.constant(batch.bias), rows.x)
            .logits;
      };
      return static_cast<double>(
          op::divergence(tape, logits(two[0]).value(), logits(two[1]), 150).value().as<float>()[0]);
    };
    CHECK(divergence(edited) == Approx(now).margin(1e-6));

    // d loss / d bias of the logit, through logit = 3 out_0 + ...: slope of sigmoid(logit / T) times the price of being
    // open minus what it saves.
    double expected = 0.0, divergence_share = 1.0, requirement_share = 1.0;
    const double share = terms.requirement[0][0].value().as<float>()[0];
    if (kind == "chebyshev") {
      const double difference = (now - lambda * share) / chebyshev_temperature(std::span(&lambda, 1));
      divergence_share = 1.0 / (1.0 + std::exp(-difference)) + kChebyshevAugmentation;
      requirement_share = 1.0 / (1.0 + std::exp(difference)) + kChebyshevAugmentation;
    }
    CHECK(terms.total.value().as<float>()[0] ==
          Approx(weight * scalarise(trained.config.scalarisation, now, std::span(&lambda, 1), std::span(&share, 1))));
    for (std::size_t f = 0; f < features; ++f) {
      const bool open = gate[f] > 0.5;
      (open ? saw_open : saw_closed) = true;
      SubjectNetwork changed = edited;
      flip(changed, networks[static_cast<std::size_t>(n)], dataset.features[f], open, beta, mean);
      const double saved = open ? divergence(changed) - now : now - divergence(changed);
      const double logit = 0.5 * std::clamp(std::log(price[f] + 1e-6) - std::log(lambda), -8.0, 8.0);
      CHECK((logit > 0.0) == open);
      const double s = 1.0 / (1.0 + std::exp(-logit / 0.5));
      expected += weight * 3.0 * s * (1.0 - s) / 0.5 *
                  (requirement_share * lambda / static_cast<double>(features) - divergence_share * saved);
    }
    const auto& entries = trained.editor->parameters().entries();
    const auto entry =
        std::find_if(entries.begin(), entries.end(), [](const auto& e) { return e.name == "feature_head.out.bias"; });
    REQUIRE(entry != entries.end());
    const double got = step.grad().as<float>()[entry->offset];
    CAPTURE(n, lambda, got, expected);
    CHECK(got == Approx(expected).epsilon(0.01).margin(1e-6));
  }
  CHECK(saw_open);
  CHECK(saw_closed);
}

}  // namespace
}  // namespace amend
