#include "metanet/train/fine_tuning.hpp"

#include <omp.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <optional>
#include <utility>

#include "autograd/op/cross_entropy.hpp"
#include "autograd/op/divergence.hpp"
#include "autograd/op/reduce.hpp"
#include "autograd/op/subject_forward.hpp"
#include "engine/copy.hpp"
#include "engine/graph_cache.hpp"
#include "engine/parallel.hpp"
#include "engine/stream_owner.hpp"
#include "kernels/adamw.hpp"
#include "kernels/fill.hpp"
#include "metanet/graph/graph_batch.hpp"
#include "metanet/train/batch_optimiser.hpp"
#include "metanet/train/row_sampler.hpp"

namespace amend {
namespace {

/// Networks that a thread trains at a time: their states fit its cache. A device takes as many as memory is likely to
/// hold.
constexpr std::size_t kTunedByThread = 8, kTunedByDevice = 4096;

/// Sequences of random numbers of a fine-tuning.
enum class TuningDraw : std::uint32_t { target_rows = 64, group_rows = 65 };

double learning_rate_at(const FineTuning& tuning, std::int64_t step) {
  const double progress = static_cast<double>(step) / static_cast<double>(tuning.steps);
  const double cosine = 0.5 * (1.0 + std::cos(std::numbers::pi * progress));
  return tuning.learning_rate * (tuning.final_learning_rate + (1.0 - tuning.final_learning_rate) * cosine);
}

/// Memory is asked for in pieces of this size: a batch of a few networks needs a few MiB, and clearing more took longer
/// than a dozen steps.
constexpr std::size_t kChunkBytes = std::size_t{1} << 20;

/// Networks that are trained together, from their first step to their last.
class FineTuningBatch {
 public:
  /// The arguments outlive this.
  FineTuningBatch(std::span<const SubjectNetwork* const> networks, std::span<const SubjectNetwork* const> original,
                  const RowSampler& sampler, const RowSampler* group_sampler, const Rows& rows,
                  const FineTuning& tuning, std::span<const double> lambda, Stream stream)
      : sampler_(&sampler),
        group_sampler_(group_sampler),
        rows_(&rows),
        tuning_(&tuning),
        stream_(stream),
        arena_(stream.device(), kChunkBytes),
        step_(stream.device(), kChunkBytes),
        tape_(step_, stream),
        graph_(networks) {
    graph_.stage(arena_);
    const std::int64_t edges = graph_.table().edge_count, nodes = graph_.table().node_count, count = graph_.networks();
    const auto gathered = [&](std::span<const SubjectNetwork* const> of) {
      const Arena::Staged weight = arena_.stage({edges}, DType::float32), bias = arena_.stage({nodes}, DType::float32);
      graph_.gather(of, weight.host, bias.host);
      return std::pair(weight, bias);
    };
    optimiser_ = BatchOptimiser(graph_, arena_, stream, networks);
    const Arena::Staged mask = gathered(networks).first;
    std::transform(mask.host.as<float>(), mask.host.as<float>() + edges, mask.host.as<float>(),
                   [](float w) { return w != 0.0f ? 1.0f : 0.0f; });
    mask_ = mask.device;
    if (tuning.target == FineTuningTarget::original) {
      const auto [original_weight, original_bias] = gathered(original);
      original_weight_ = original_weight.device;
      original_bias_ = original_bias.device;
    }
    for (std::size_t r = 0; r <= tuning.requirements.size(); ++r) {
      const Arena::Staged coefficient = arena_.stage({count}, DType::float32);
      for (std::int64_t n = 0; n < count; ++n)
        coefficient.host.as<float>()[n] =
            r == 0 ? 1.0f
                   : static_cast<float>(lambda[static_cast<std::size_t>(n) * tuning.requirements.size() + r - 1]);
      coefficient_.push_back(coefficient.device);
    }
    arena_.upload(stream);
  }

  void step(std::int64_t done) {
    tape_.reset();
    const Plan plan = this->plan(done);
    step_.upload(stream_);
    if (stream_.device().is_cuda())
      graphs_.run({}, stream_, [&] {
        compute(plan);
        return std::vector<TensorView>();
      });
    else
      compute(plan);
  }

  void finish(std::span<SubjectNetwork> results) {
    const auto value = optimiser_.on_host(optimiser_.value(), stream_);
    for (std::size_t n = 0; n < results.size(); ++n) {
      graph_.scatter(static_cast<int>(n), value.values.weight, value.values.bias, results[n]);
      const auto finite = [](float x) { return std::isfinite(x); };
      check(std::all_of(results[n].weights.begin(), results[n].weights.end(), finite) &&
                std::all_of(results[n].biases.begin(), results[n].biases.end(), finite),
            "fine_tune", "network `", results[n].name, "` is no longer finite after ", tuning_->steps,
            " steps at learning rate ", tuning_->learning_rate, "; lower it");
    }
  }

 private:
  /// What the host draws and writes for a step, staged.
  struct Plan {
    RowDraw rows, cells;
    TensorView label;  // (networks, rows) int32
    BatchOptimiser::Rates rates;
    TensorView schedule;  // of AdamW
  };

  Plan plan(std::int64_t done) {
    const auto random = [&](TuningDraw draw) {
      return RandomStream(tuning_->seed, static_cast<std::uint32_t>(draw), static_cast<std::uint32_t>(done));
    };
    Plan plan;
    plan.rows = sampler_->plan(step_, tuning_->rows, 0, random(TuningDraw::target_rows), DType::float32);
    if (group_sampler_)
      plan.cells = group_sampler_->plan(step_, 0, tuning_->cell_rows, random(TuningDraw::group_rows), DType::float32);
    if (tuning_->target == FineTuningTarget::labels) plan.label = stage_labels(plan.rows);
    plan.rates = optimiser_.stage_rates(step_);
    const double rate = learning_rate_at(*tuning_, done);
    for (std::int64_t n = 0; n < graph_.networks(); ++n) plan.rates.set(n, rate, tuning_->weight_decay);
    const Arena::Staged schedule = step_.stage({3}, DType::float64);
    std::ranges::copy(kernels::adamw_schedule(done + 1), schedule.host.as<double>());
    plan.schedule = schedule.device;
    return plan;
  }

  /// The step after its upload: on a device what changes from step to step lies in device memory.
  void compute(const Plan& plan) {
    const BatchValues &value = optimiser_.value(), &grad = optimiser_.grad();
    kernels::fill({.y = grad.all, .value = 0.0}, stream_);
    const Variable weight = tape_.leaf(value.weight, grad.weight), bias = tape_.leaf(value.bias, grad.bias);
    const RowBatch rows = sampler_->gather(plan.rows, step_, stream_);
    const Variable logits =
        op::subject_forward(tape_, graph_.device_table(), weight, bias, rows.x, {}, false, rows.x_id).logits;
    Variable loss = op::weighted_sum(tape_, target_loss(logits, rows, plan.label), coefficient_[0]);
    if (group_sampler_) {
      const RowBatch cells = group_sampler_->gather(plan.cells, step_, stream_);
      const SoftInputs soft{
          .logits =
              op::subject_forward(tape_, graph_.device_table(), weight, bias, cells.x, {}, false, cells.x_id).logits,
          .rows = &cells,
          .networks = graph_.device_table().networks,
          .weight_share = {},
          .neuron_share = {},
          .feature_share = {}};
      for (std::size_t r = 0; r < tuning_->requirements.size(); ++r) {
        const Variable term = tuning_->requirements[r]->soft(tape_, soft);
        loss = op::add(tape_, loss, op::weighted_sum(tape_, term, coefficient_[r + 1]));
      }
    }
    tape_.backward(loss);
    kernels::multiply({.x = mask_, .y = grad.weight}, stream_);
    optimiser_.step(plan.rates, plan.schedule, stream_);
  }

  /// The labels of the rows drawn, once for every network: (networks, rows).
  TensorView stage_labels(const RowDraw& drawn) {
    const std::int64_t count = tuning_->rows;
    const Arena::Staged label = step_.stage({graph_.networks(), count}, DType::int32);
    const std::int32_t* row = drawn.host_index.as<std::int32_t>();
    std::int32_t* out = label.host.as<std::int32_t>();
    for (std::int64_t i = 0; i < count; ++i) out[i] = rows_->label[static_cast<std::size_t>(row[i])];
    for (std::int64_t n = 1; n < graph_.networks(); ++n) std::copy_n(out, count, out + n * count);
    return label.device;
  }

  Variable target_loss(Variable logits, const RowBatch& rows, const TensorView& label) {
    if (tuning_->target == FineTuningTarget::labels) return op::cross_entropy(tape_, logits, label);
    const Variable wanted = op::subject_forward(tape_, graph_.device_table(), tape_.constant(original_weight_),
                                                tape_.constant(original_bias_), rows.x, {}, false, rows.x_id)
                                .logits;
    return op::divergence(tape_, wanted.value(), logits, rows.random_rows);
  }

  const RowSampler* sampler_;
  const RowSampler* group_sampler_;
  const Rows* rows_;
  const FineTuning* tuning_;
  Stream stream_;
  Arena arena_;  // for all steps
  Arena step_;
  Tape tape_;
  GraphBatch graph_;
  BatchOptimiser optimiser_;
  TensorView mask_;                             // (edges): 0 where a weight is zero
  TensorView original_weight_, original_bias_;  // of the originals
  std::vector<TensorView> coefficient_;         // (networks) of the target, then of every requirement
  GraphCache graphs_;                           // of the step
};

}  // namespace

std::int64_t steps_of(double epochs, std::int64_t rows, std::int64_t rows_per_step) {
  check(epochs >= 0.0 && rows > 0 && rows_per_step > 0, "steps_of", "expected epochs >= 0 and rows > 0, got ", epochs,
        " of ", rows, " rows in steps of ", rows_per_step);
  return std::llround(epochs * static_cast<double>(rows) / static_cast<double>(rows_per_step));
}

std::vector<SubjectNetwork> fine_tune(std::span<const SubjectNetwork* const> networks,
                                      std::span<const SubjectNetwork* const> original, const Dataset& dataset,
                                      const Rows& rows, const FineTuning& tuning, std::span<const double> lambda,
                                      Device device) {
  const bool imitates = tuning.target == FineTuningTarget::original;
  check(!imitates || original.size() == networks.size(), "fine_tune", "expected an original for each of ",
        networks.size(), " networks, got ", original.size());
  check(lambda.size() == networks.size() * tuning.requirements.size(), "fine_tune", "expected ", networks.size(), " x ",
        tuning.requirements.size(), " lambdas, got ", lambda.size());
  check(tuning.steps >= 0 && tuning.rows > 0 && tuning.learning_rate > 0.0, "fine_tune",
        "expected steps >= 0, rows > 0 and a learning rate > 0, got ", tuning.steps, ", ", tuning.rows, " and ",
        tuning.learning_rate);
  for (const auto& requirement : tuning.requirements)
    check(requirement->reads_groups(), "fine_tune", "`", requirement->name(),
          "` is about gates; only objectives on groups can be trained for without an editor");
  for (std::size_t n = 0; imitates && n < networks.size(); ++n)
    check(original[n]->widths == networks[n]->widths && original[n]->activation == networks[n]->activation, "fine_tune",
          "network `", networks[n]->name, "` has another shape than its original");
  std::vector<SubjectNetwork> results;
  for (const SubjectNetwork* network : networks) results.push_back(*network);
  if (networks.empty() || tuning.steps == 0) return results;

  const StreamOwner stream(device);
  RowSampler sampler(dataset, rows, {}, stream);
  if (!tuning.row_weight.empty()) sampler.weigh(tuning.row_weight);
  std::optional<RowSampler> group_sampler;
  if (!tuning.requirements.empty()) {
    check(!tuning.sensitive.empty(), "fine_tune", "objectives on groups need a sensitive attribute");
    group_sampler.emplace(dataset, rows, tuning.sensitive, stream);
  }
  const std::size_t most = device.is_cuda() ? kTunedByDevice : kTunedByThread,
                    threads = device.is_cuda() ? 1 : static_cast<std::size_t>(omp_get_max_threads());
  const std::size_t size = std::clamp((networks.size() + threads - 1) / threads, std::size_t{1}, most);
  const std::size_t batches = (networks.size() + size - 1) / size;
  const auto run = [&](std::int64_t index) {
    const std::size_t first = static_cast<std::size_t>(index) * size, count = std::min(size, networks.size() - first);
    stream.make_current();
    FineTuningBatch batch(networks.subspan(first, count), imitates ? original.subspan(first, count) : original, sampler,
                          group_sampler ? &*group_sampler : nullptr, rows, tuning,
                          lambda.subspan(first * tuning.requirements.size(), count * tuning.requirements.size()),
                          stream);
    for (std::int64_t done = 0; done < tuning.steps; ++done) batch.step(done);
    batch.finish(std::span(results).subspan(first, count));
  };
  if (device.is_cuda()) {
    for (std::size_t index = 0; index < batches; ++index) run(static_cast<std::int64_t>(index));
  } else {
    // Steps are too short to share one out: with a barrier after every kernel threads would wait for the slowest.
    const ThreadCount alone(batches == 1 ? 1 : 0);
    parallel_for(static_cast<std::int64_t>(batches), run);
  }
  return results;
}

}  // namespace amend
