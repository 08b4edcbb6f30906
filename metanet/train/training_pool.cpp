#include "metanet/train/training_pool.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <span>
#include <utility>

#include "engine/error.hpp"
#include "engine/parallel.hpp"
#include "kernels/adamw.hpp"
#include "kernels/cross_entropy.hpp"
#include "kernels/subject_forward.hpp"

namespace amend {
namespace {

/// The cosine schedule ends at this share of the learning rate.
constexpr double kFinalRate = 0.1;
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

TrainingRows::TrainingRows(const Rows& rows, int inputs)
    : input({rows.count, inputs}, DType::float32), label(rows.label) {
  check(static_cast<std::int64_t>(rows.input.size()) == rows.count * inputs &&
            static_cast<std::int64_t>(rows.label.size()) == rows.count,
        "training_rows", "expected ", rows.count, " rows of ", inputs, " inputs and a label, got ", rows.input.size(),
        " numbers and ", rows.label.size(), " labels");
  std::copy(rows.input.begin(), rows.input.end(), input.as<float>());
}

std::vector<double> accuracies(const std::vector<const SubjectNetwork*>& networks, const TrainingRows& rows,
                               Stream stream) {
  std::vector<std::int64_t> correct(networks.size(), 0);
  Arena arena;
  for (std::size_t first = 0; first < networks.size(); first += kEvaluationNetworks) {
    const auto batch = std::span(networks).subspan(first, std::min(kEvaluationNetworks, networks.size() - first));
    arena.reset();
    const GraphBatch graph(batch);
    const TensorView weight = arena.tensor({graph.table().edge_count}, DType::float32);
    const TensorView bias = arena.tensor({graph.table().node_count}, DType::float32);
    graph.gather(batch, weight, bias);
    const std::int64_t classes = graph.outputs();
    const Arena::Mark mark = arena.mark();
    for (std::int64_t row = 0; row < rows.count(); row += kEvaluationRows) {
      arena.rewind(mark);
      const std::int64_t count = std::min(kEvaluationRows, rows.count() - row);
      const TensorView logits = arena.tensor({graph.networks(), count, classes}, DType::float32);
      kernels::subject_forward({.table = graph.table(),
                                .weight = weight,
                                .bias = bias,
                                .x = slice_rows(rows.input, row, count),
                                .logits = logits},
                               stream);
      const float* logit = logits.as<float>();
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
    : config_(&config), dataset_(&dataset), rows_(&rows), stream_(stream) {}

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
  parallel_for(graph_.networks(), [&](std::int64_t index) {
    Member& member = members_[static_cast<std::size_t>(index)];
    const int n = static_cast<int>(index);
    graph_.scatter(n, value_.weight, value_.bias, member.network);
    graph_.scatter(n, first_moment_.weight, first_moment_.bias, member.first_moment);
    graph_.scatter(n, second_moment_.weight, second_moment_.bias, member.second_moment);
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
  const auto parameters = [&] {
    return Parameters{arena_.tensor({graph_.table().edge_count}, DType::float32),
                      arena_.tensor({graph_.table().node_count}, DType::float32)};
  };
  value_ = parameters();
  grad_ = parameters();
  first_moment_ = parameters();
  second_moment_ = parameters();
  graph_.gather(networks, value_.weight, value_.bias);
  graph_.gather(first, first_moment_.weight, first_moment_.bias);
  graph_.gather(second, second_moment_.weight, second_moment_.bias);

  const std::int64_t batch = config_->batch_size, classes = dataset_->classes, rows = graph_.networks();
  row_index_ = arena_.tensor({rows, batch}, DType::int32);
  label_ = arena_.tensor({rows, batch}, DType::int32);
  activation_ = arena_.tensor({graph_.table().hidden_count, batch}, DType::float32);
  slope_ = arena_.tensor({graph_.table().hidden_count, batch}, DType::float32);
  logits_ = arena_.tensor({rows, batch, classes}, DType::float32);
  grad_logits_ = arena_.tensor({rows, batch, classes}, DType::float32);
  class_weight_ = arena_.tensor({rows, classes}, DType::float32);
  loss_ = arena_.tensor({rows}, DType::float32);
  grad_loss_ = arena_.tensor({rows}, DType::float32);
  learning_rate_ = arena_.tensor({rows}, DType::float64);
  weight_decay_ = arena_.tensor({rows}, DType::float64);
  no_decay_ = arena_.zeros({rows}, DType::float64);
  std::fill_n(grad_loss_.as<float>(), rows, 1.0f);
  float* class_weight = class_weight_.as<float>();
  for (const Member& member : members_)
    class_weight = std::copy_n(member.result.plan->class_weight.begin(), classes, class_weight);
}

/// Draws the rows of the network's next batch, sets its rates and clears its gradients.
void TrainingPool::prepare(std::int64_t index) {
  const Member& member = members_[static_cast<std::size_t>(index)];
  const TrainingPlan& plan = *member.result.plan;
  const std::int64_t batch = config_->batch_size, classes = dataset_->classes;
  const auto random =
      run_stream(config_->seed, plan.run, PopulationDraw::batches, static_cast<std::uint32_t>(member.step));
  std::int32_t* row = row_index_.as<std::int32_t>() + index * batch;
  std::int32_t* label = label_.as<std::int32_t>() + index * batch;
  for (std::int64_t i = 0; i < batch; ++i) {
    row[i] = member.rows[random.below(static_cast<std::uint64_t>(i), static_cast<std::uint32_t>(member.rows.size()))];
    label[i] = rows_->label[static_cast<std::size_t>(row[i])];
  }

  // Networks of one batch are at different steps, the kernel knows one: the correction of the moments' bias goes into
  // the rates, as at the end of section 2 of Kingma & Ba, *Adam*, ICLR 2015, and is undone in the decay.
  const kernels::AdamW defaults;
  const auto t = static_cast<double>(member.step + 1);
  const double correction = std::sqrt(1.0 - std::pow(defaults.beta2, t)) / (1.0 - std::pow(defaults.beta1, t));
  learning_rate_.as<double>()[index] = learning_rate_at(plan, member.step) * correction;
  weight_decay_.as<double>()[index] = plan.weight_decay / correction;

  const kernels::Network& network = graph_.table().network[index];
  std::fill_n(grad_.weight.as<float>() + network.edge_offset, network.edge_count, 0.0f);
  std::fill_n(grad_.bias.as<float>() + network.node_offset, network.node_count, 0.0f);
  std::fill_n(grad_logits_.as<float>() + index * batch * classes, batch * classes, 0.0f);
}

void TrainingPool::check_losses() const {
  const float* loss = loss_.as<float>();
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

/// Holds weights of features that the network does not use at 0: without gradient AdamW leaves a zero as it is.
void TrainingPool::finish_gradient(std::int64_t index) {
  const TrainingPlan& plan = *members_[static_cast<std::size_t>(index)].result.plan;
  const kernels::Network& network = graph_.table().network[index];
  const kernels::Block& block = graph_.table().block[network.first_block];
  float* grad = grad_.weight.as<float>() + block.edge_offset;
  for (std::size_t f = 0; f < plan.uses_feature.size(); ++f) {
    if (plan.uses_feature[f]) continue;
    const Feature& feature = dataset_->features[f];
    for (std::int64_t i = 0; i < block.rows; ++i)
      std::fill_n(grad + i * block.cols + feature.first_input, feature.input_count, 0.0f);
  }
}

void TrainingPool::update() {
  const auto adamw = [&](TensorView Parameters::*part, const kernels::Segments& segments, const TensorView& decay) {
    kernels::adamw({.value = value_.*part,
                    .grad = grad_.*part,
                    .first_moment = first_moment_.*part,
                    .second_moment = second_moment_.*part,
                    .segments = segments,
                    .learning_rate = learning_rate_,
                    .weight_decay = decay,
                    .step = std::int64_t{1} << 40},  // no correction there: see `prepare`
                   stream_);
  };
  adamw(&Parameters::weight, graph_.table().network_edges, weight_decay_);
  adamw(&Parameters::bias, graph_.table().network_nodes, no_decay_);
}

/// Counts the step, takes snapshots that are due; returns whether a run is done.
bool TrainingPool::advance() {
  bool any_done = false;
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
      graph_.scatter(static_cast<int>(n), value_.weight, value_.bias, snapshot);
    }
    any_done = any_done || member.done();
  }
  return any_done;
}

bool TrainingPool::step() {
  if (graph_.networks() == 0) build();
  const std::int64_t count = graph_.networks();
  parallel_for(count, [&](std::int64_t n) { prepare(n); });
  const kernels::SubjectForward forward{.table = graph_.table(),
                                        .weight = value_.weight,
                                        .bias = value_.bias,
                                        .x = rows_->input,
                                        .row_index = row_index_,
                                        .activation = activation_,
                                        .slope = slope_,
                                        .logits = logits_};
  kernels::subject_forward(forward, stream_);
  const kernels::CrossEntropy loss{.logits = logits_, .label = label_, .class_weight = class_weight_, .loss = loss_};
  kernels::cross_entropy_forward(loss, stream_);
  check_losses();
  kernels::cross_entropy_backward({.forward = loss, .grad_loss = grad_loss_, .grad_logits = grad_logits_}, stream_);
  kernels::subject_backward(
      {.forward = forward, .grad_logits = grad_logits_, .grad_weight = grad_.weight, .grad_bias = grad_.bias}, stream_);
  parallel_for(count, [&](std::int64_t n) { finish_gradient(n); });
  update();
  return advance();
}

}  // namespace amend
