#include "metanet/train/training_pool.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <span>
#include <utility>

#include "engine/copy.hpp"
#include "engine/error.hpp"
#include "engine/parallel.hpp"
#include "kernels/adamw.hpp"
#include "kernels/cross_entropy.hpp"
#include "kernels/fill.hpp"
#include "kernels/subject_forward.hpp"

namespace amend {
namespace {

/// The cosine schedule ends at this share of the learning rate.
constexpr double kFinalRate = 0.1;
/// Steps of a device between two looks at the losses: a loss that is not finite stays so.
constexpr std::int64_t kLossInterval = 32;
/// Networks and rows that `accuracies` works on at a time.
constexpr std::size_t kEvaluationNetworks = 64;
constexpr std::int64_t kEvaluationRows = 1024;

double learning_rate_at(const TrainingPlan& plan, std::int64_t step) {
  const double progress = static_cast<double>(step) / static_cast<double>(plan.steps);
  return plan.learning_rate * (kFinalRate + (1.0 - kFinalRate) * 0.5 * (1.0 + std::cos(std::numbers::pi * progress)));
}

void clear(SubjectNetwork& network) {
  std::fill(network.weights.begin(), network.weights.end(), 0.0f);
  std::fill(network.biases.begin(), network.biases.end(), 0.0f);
}

}  // namespace

TrainingRows::TrainingRows(const Rows& rows, int inputs, Stream stream)
    : input({rows.count, inputs}, DType::float32, stream.device()), input_id(kernels::new_x_id()), label(rows.label) {
  check(static_cast<std::int64_t>(rows.input.size()) == rows.count * inputs &&
            static_cast<std::int64_t>(rows.label.size()) == rows.count,
        "training_rows", "expected ", rows.count, " rows of ", inputs, " inputs and a label, got ", rows.input.size(),
        " numbers and ", rows.label.size(), " labels");
  copy(input, {const_cast<float*>(rows.input.data()), input.view().shape, DType::float32, Device::cpu()}, stream);
}

std::vector<double> accuracies(const std::vector<const SubjectNetwork*>& networks, const TrainingRows& rows,
                               Stream stream) {
  std::vector<std::int64_t> correct(networks.size(), 0);
  Arena arena(stream.device());
  Tensor host;
  for (std::size_t first = 0; first < networks.size(); first += kEvaluationNetworks) {
    const auto batch = std::span(networks).subspan(first, std::min(kEvaluationNetworks, networks.size() - first));
    arena.reset();
    GraphBatch graph(batch);
    graph.stage(arena);
    const Arena::Staged weight = arena.stage({graph.table().edge_count}, DType::float32),
                        bias = arena.stage({graph.table().node_count}, DType::float32);
    graph.gather(batch, weight.host, bias.host);
    arena.upload(stream);
    const std::int64_t classes = graph.outputs();
    const Arena::Mark mark = arena.mark();
    for (std::int64_t row = 0; row < rows.count(); row += kEvaluationRows) {
      arena.rewind(mark);
      const std::int64_t count = std::min(kEvaluationRows, rows.count() - row);
      const TensorView logits = arena.tensor({graph.networks(), count, classes}, DType::float32);
      kernels::subject_forward({.table = graph.device_table(),
                                .weight = weight.device,
                                .bias = bias.device,
                                .x = slice_rows(rows.input, row, count),
                                .logits = logits},
                               stream);
      if (logits.device.is_cuda()) host = host_copy(logits, stream);
      const float* logit = logits.device.is_cuda() ? host.as<float>() : logits.as<float>();
      const std::int32_t* label = rows.label.data() + row;
      for (std::size_t n = 0; n < batch.size(); ++n)
        for (std::int64_t r = 0; r < count; ++r, logit += classes)
          correct[first + n] += std::max_element(logit, logit + classes) - logit == label[r] ? 1 : 0;
    }
  }
  std::vector<double> accuracy(networks.size());
  for (std::size_t n = 0; n < networks.size(); ++n)
    accuracy[n] = static_cast<double>(correct[n]) / static_cast<double>(rows.count());
  return accuracy;
}

TrainingPool::TrainingPool(const PopulationConfig& config, const Dataset& dataset, const TrainingRows& rows,
                           Stream stream)
    : config_(&config),
      dataset_(&dataset),
      rows_(&rows),
      stream_(stream),
      arena_(stream.device()),
      step_(stream.device(), std::size_t{1} << 16) {}

void TrainingPool::admit(const std::vector<const TrainingPlan*>& plans) {
  write_back();
  const std::size_t present = members_.size();
  members_.resize(present + plans.size());
  parallel_for(static_cast<std::int64_t>(plans.size()), [&](std::int64_t p) {
    const TrainingPlan& plan = *plans[static_cast<std::size_t>(p)];
    Member& member = members_[present + static_cast<std::size_t>(p)];
    member.result.plan = &plan;
    member.rows = draw_rows(*config_, *dataset_, plan);
    member.network = initial_network(*config_, *dataset_, plan);
    member.first_moment = member.network;
    clear(member.first_moment);
    member.second_moment = member.first_moment;
  });
}

std::vector<TrainingPool::Result> TrainingPool::take_finished() {
  write_back();
  std::vector<Result> results;
  std::erase_if(members_, [&](Member& member) {
    if (!member.done()) return false;
    member.result.networks.push_back(std::move(member.network));
    results.push_back(std::move(member.result));
    return true;
  });
  return results;
}

/// Takes the batch apart; the next step builds it anew.
void TrainingPool::write_back() {
  if (graph_.networks() == 0) return;
  const auto value = optimiser_.on_host(optimiser_.value(), stream_),
             first = optimiser_.on_host(optimiser_.first_moment(), stream_),
             second = optimiser_.on_host(optimiser_.second_moment(), stream_);
  parallel_for(graph_.networks(), [&](std::int64_t index) {
    Member& member = members_[static_cast<std::size_t>(index)];
    const int n = static_cast<int>(index);
    graph_.scatter(n, value.values.weight, value.values.bias, member.network);
    graph_.scatter(n, first.values.weight, first.values.bias, member.first_moment);
    graph_.scatter(n, second.values.weight, second.values.bias, member.second_moment);
  });
  graph_ = GraphBatch();
}

void TrainingPool::build() {
  const std::size_t count = members_.size();
  std::vector<const SubjectNetwork*> networks(count), first(count), second(count);
  for (std::size_t n = 0; n < count; ++n) {
    networks[n] = &members_[n].network;
    first[n] = &members_[n].first_moment;
    second[n] = &members_[n].second_moment;
  }
  graph_ = GraphBatch(networks);
  arena_.reset();
  graph_.stage(arena_);
  optimiser_ = BatchOptimiser(graph_, arena_, stream_, networks, first, second);
  feature_mask_ = stage_feature_mask();

  const std::int64_t batch = config_->batch_size, classes = dataset_->classes, rows = graph_.networks();
  activation_ = arena_.tensor({graph_.table().hidden_count, batch}, DType::float32);
  slope_ = arena_.tensor({graph_.table().hidden_count, batch}, DType::float32);
  logits_ = arena_.tensor({rows, batch, classes}, DType::float32);
  grad_logits_ = arena_.tensor({rows, batch, classes}, DType::float32);
  loss_ = arena_.tensor({rows}, DType::float32);
  grad_loss_ = arena_.tensor({rows}, DType::float32);
  const Arena::Staged schedule = arena_.stage({3}, DType::float64);
  const double corrected[] = {1.0, 1.0, 0.0};  // see `prepare`
  std::copy_n(corrected, 3, schedule.host.as<double>());
  schedule_ = schedule.device;
  const Arena::Staged class_weight = arena_.stage({rows, classes}, DType::float32);
  float* out = class_weight.host.as<float>();
  for (const Member& member : members_) out = std::copy_n(member.result.plan->class_weight.begin(), classes, out);
  class_weight_ = class_weight.device;
  arena_.upload(stream_);
  kernels::fill({.y = grad_loss_, .value = 1.0}, stream_);
  step_graph_.emplace();
}

/// 1 at every weight but those of features that a network does not use: with their gradients held at 0, AdamW leaves
/// them at 0. Absent when every network uses all features.
TensorView TrainingPool::stage_feature_mask() {
  const auto uses_all = [](const Member& member) {
    const auto& uses = member.result.plan->uses_feature;
    return std::all_of(uses.begin(), uses.end(), [](auto used) { return static_cast<bool>(used); });
  };
  if (std::all_of(members_.begin(), members_.end(), uses_all)) return {};
  const Arena::Staged mask = arena_.stage({graph_.table().edge_count}, DType::float32);
  std::fill_n(mask.host.as<float>(), mask.host.count(), 1.0f);
  for (std::size_t n = 0; n < members_.size(); ++n) {
    const TrainingPlan& plan = *members_[n].result.plan;
    const kernels::Block& block = graph_.table().block[graph_.table().network[n].first_block];
    for (std::size_t f = 0; f < plan.uses_feature.size(); ++f) {
      if (plan.uses_feature[f]) continue;
      const Feature& feature = dataset_->features[f];
      for (std::int64_t i = 0; i < block.rows; ++i)
        std::fill_n(mask.host.as<float>() + block.edge_offset + i * block.cols + feature.first_input,
                    feature.input_count, 0.0f);
    }
  }
  return mask.device;
}

/// Draws the rows of the network's next batch and sets its rates.
void TrainingPool::prepare(std::int64_t index) {
  const Member& member = members_[static_cast<std::size_t>(index)];
  const TrainingPlan& plan = *member.result.plan;
  const std::int64_t batch = config_->batch_size;
  const auto random =
      run_stream(config_->seed, plan.run, PopulationDraw::batches, static_cast<std::uint32_t>(member.step));
  std::int32_t* row = row_index_.host.as<std::int32_t>() + index * batch;
  std::int32_t* label = label_.host.as<std::int32_t>() + index * batch;
  for (std::int64_t i = 0; i < batch; ++i) {
    row[i] = member.rows[random.below(static_cast<std::uint64_t>(i), static_cast<std::uint32_t>(member.rows.size()))];
    label[i] = rows_->label[static_cast<std::size_t>(row[i])];
  }

  // Networks of one batch are at different steps, the optimiser's schedule has one: the correction of the moments' bias
  // goes into the rates, as at the end of section 2 of Kingma & Ba, *Adam*, ICLR 2015, and is undone in the decay.
  const auto t = static_cast<double>(member.step + 1);
  const double correction =
      std::sqrt(1.0 - std::pow(kernels::kAdamBeta2, t)) / (1.0 - std::pow(kernels::kAdamBeta1, t));
  rates_.set(index, learning_rate_at(plan, member.step) * correction, plan.weight_decay / correction);
}

/// On the CPU after every step; on a device now and then, and before a network is handed out.
bool TrainingPool::looks_at_losses() const {
  if (!stream_.device().is_cuda() || steps_ % kLossInterval == kLossInterval - 1) return true;
  return std::any_of(members_.begin(), members_.end(),
                     [](const Member& member) { return member.step + 1 == member.result.plan->steps; });
}

void TrainingPool::check_losses() const {
  Tensor host;
  if (loss_.device.is_cuda()) host = host_copy(loss_, stream_);
  const float* loss = loss_.device.is_cuda() ? host.as<float>() : loss_.as<float>();
  for (std::size_t n = 0; n < members_.size(); ++n) {
    if (std::isfinite(loss[n])) continue;
    const TrainingPlan& plan = *members_[n].result.plan;
    fail_input(config_->file.string() + ": learning_rate", "the loss of ", plan.name, " (hidden layers ",
               shape_text({plan.widths.begin() + 1, plan.widths.end() - 1}), ", ", to_string(plan.activation),
               ") is no longer finite at step ", members_[n].step, " of ", plan.steps, ", at learning rate ",
               learning_rate_at(plan, members_[n].step), "; lower the upper end of the range, now ",
               config_->learning_rate.high);
  }
}

/// Counts the step, takes snapshots that are due; returns whether a run is done.
bool TrainingPool::advance() {
  bool any_done = false;
  BatchOptimiser::HostValues value;
  for (std::size_t n = 0; n < members_.size(); ++n) {
    Member& member = members_[n];
    const TrainingPlan& plan = *member.result.plan;
    ++member.step;
    auto& taken = member.result.networks;
    while (taken.size() < config_->snapshots.size() &&
           static_cast<double>(member.step) >= config_->snapshots[taken.size()] * static_cast<double>(plan.steps)) {
      SubjectNetwork& snapshot = taken.emplace_back();
      snapshot.name = plan.name + "-snapshot-" + std::to_string(taken.size());
      snapshot.run = plan.name;
      snapshot.widths = plan.widths;
      snapshot.activation = plan.activation;
      if (!value.values.all) value = optimiser_.on_host(optimiser_.value(), stream_);
      graph_.scatter(static_cast<int>(n), value.values.weight, value.values.bias, snapshot);
    }
    any_done = any_done || member.done();
  }
  return any_done;
}

/// The step after its upload: on a device what changes from step to step lies in device memory.
void TrainingPool::compute() {
  const BatchValues &value = optimiser_.value(), &grad = optimiser_.grad();
  for (const TensorView& gradient : {grad.all, grad_logits_}) kernels::fill({.y = gradient, .value = 0.0}, stream_);
  const kernels::SubjectForward forward{.table = graph_.device_table(),
                                        .weight = value.weight,
                                        .bias = value.bias,
                                        .x = rows_->input,
                                        .x_id = rows_->input_id,
                                        .row_index = row_index_.device,
                                        .activation = activation_,
                                        .slope = slope_,
                                        .logits = logits_};
  kernels::subject_forward(forward, stream_);
  const kernels::CrossEntropy loss{
      .logits = logits_, .label = label_.device, .class_weight = class_weight_, .loss = loss_};
  kernels::cross_entropy_forward(loss, stream_);
  kernels::cross_entropy_backward({.forward = loss, .grad_loss = grad_loss_, .grad_logits = grad_logits_}, stream_);
  kernels::subject_backward(
      {.forward = forward, .grad_logits = grad_logits_, .grad_weight = grad.weight, .grad_bias = grad.bias}, stream_);
  if (feature_mask_) kernels::multiply({.x = feature_mask_, .y = grad.weight}, stream_);
  optimiser_.step(rates_, schedule_, stream_);
}

bool TrainingPool::step() {
  if (graph_.networks() == 0) build();
  const std::int64_t count = graph_.networks(), batch = config_->batch_size;
  step_.reset();
  for (Arena::Staged* indices : {&row_index_, &label_}) *indices = step_.stage({count, batch}, DType::int32);
  rates_ = optimiser_.stage_rates(step_);
  parallel_for(count, [&](std::int64_t n) { prepare(n); });
  step_.upload(stream_);
  if (stream_.device().is_cuda())
    step_graph_->run({}, stream_, [this] {
      compute();
      return std::vector<TensorView>();
    });
  else
    compute();
  if (looks_at_losses()) check_losses();
  ++steps_;
  return advance();
}

}  // namespace amend
