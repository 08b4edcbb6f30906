#include "metanet/train/editor_optimiser.hpp"

#include <algorithm>
#include <cmath>

#include "engine/copy.hpp"
#include "kernels/adamw.hpp"

namespace amend {

EditorOptimiser::EditorOptimiser(ParameterSet& parameters, const EditorConfig& config, Stream stream)
    : parameters_(&parameters), config_(&config), stream_(stream) {
  const Device device = stream.device();
  for (Tensor* state : {&first_, &second_, &average_, &best_, &backup_})
    *state = Tensor({parameters.count()}, DType::float32, device);
  norm_ = Tensor({1}, DType::float32, device);
  squares_ =
      Tensor({(parameters.count() + kernels::kSquaresChunk - 1) / kernels::kSquaresChunk}, DType::float64, device);
  const auto tensors = static_cast<std::int64_t>(parameters.entries().size());
  const Tensor decay({tensors}, DType::float64);
  for (std::int64_t i = 0; i < tensors; ++i)
    decay.as<double>()[i] = parameters.entries()[static_cast<std::size_t>(i)].decays ? config.weight_decay : 0.0;
  decay_ = Tensor({tensors}, DType::float64, device);
  copy(decay_, decay, stream);
  copy(average_, parameters.value(), stream);
}

EditorOptimiser::Plan EditorOptimiser::plan(std::int64_t done, Arena& arena) const {
  const EditorConfig& config = *config_;
  const double warm =
      std::min(1.0, static_cast<double>(done + 1) / static_cast<double>(std::max<std::int64_t>(config.warmup, 1)));
  const double cosine =
      0.5 * (1.0 + std::cos(3.14159265358979323846 * static_cast<double>(done) / static_cast<double>(config.steps)));
  const double rate =
      config.learning_rate * warm * (config.final_learning_rate + (1.0 - config.final_learning_rate) * cosine);
  // A young average follows the weights closely.
  const double average = std::min(config.average, static_cast<double>(done + 1) / static_cast<double>(done + 10));
  const Arena::Staged learning_rate = arena.stage(decay_.view().shape, DType::float64),
                      schedule = arena.stage({3}, DType::float64);
  std::fill_n(learning_rate.host.as<double>(), learning_rate.host.count(), rate);
  std::ranges::copy(kernels::adamw_schedule(done + 1, average), schedule.host.as<double>());
  return {.learning_rate = learning_rate.device, .schedule = schedule.device};
}

void EditorOptimiser::step(const TensorView& grad, const Plan& plan) {
  kernels::gradient_squares({.grad = grad, .squares = squares_}, stream_);
  kernels::adamw({.value = parameters_->value(),
                  .grad = grad,
                  .first_moment = first_,
                  .second_moment = second_,
                  .average = average_,
                  .segments = parameters_->segments(),
                  .learning_rate = plan.learning_rate,
                  .weight_decay = decay_,
                  .schedule = plan.schedule,
                  .squares = squares_,
                  .norm = norm_,
                  .max_norm = config_->clip},
                 stream_);
}

void EditorOptimiser::swap_in_average() {
  copy(backup_, parameters_->value(), stream_);
  copy(parameters_->value(), average_, stream_);
}

void EditorOptimiser::swap_back() { copy(parameters_->value(), backup_, stream_); }

void EditorOptimiser::keep_average() { copy(best_, average_, stream_); }

void EditorOptimiser::deliver_best() { copy(parameters_->value(), best_, stream_); }

std::vector<std::pair<std::string, TensorView>> EditorOptimiser::tensors() const {
  return {{"value", parameters_->value()},
          {"first_moment", first_},
          {"second_moment", second_},
          {"average", average_},
          {"best", best_}};
}

std::vector<std::pair<std::string, Tensor>> EditorOptimiser::state() const {
  std::vector<std::pair<std::string, Tensor>> state;
  for (const auto& [name, view] : tensors()) state.emplace_back(name, host_copy(view, stream_));
  return state;
}

void EditorOptimiser::set_state(const std::vector<std::pair<std::string, Tensor>>& state) {
  const auto own = tensors();
  for (std::size_t i = 0; i < own.size(); ++i) copy(own[i].second, state.at(i).second, stream_);
}

LossHistory::LossHistory(std::int64_t capacity, Stream stream)
    : stream_(stream), entries_({capacity, 2}, DType::float32, stream.device()) {}

void LossHistory::add(const TensorView& loss, const TensorView& norm) {
  check(!full(), "loss_history", "there is room for ", count_, " steps");
  const TensorView entry = reshape(slice_rows(entries_, count_++, 1), {2});
  copy(slice_rows(entry, 0, 1), loss, stream_);
  copy(slice_rows(entry, 1, 1), norm, stream_);
}

std::vector<LossHistory::Entry> LossHistory::take() {
  std::vector<Entry> result;
  if (count_ == 0) return result;
  const Tensor entries = host_copy(slice_rows(entries_, 0, count_), stream_);
  for (std::int64_t i = 0; i < count_; ++i)
    result.push_back(
        {static_cast<double>(entries.as<float>()[2 * i]), static_cast<double>(entries.as<float>()[2 * i + 1])});
  count_ = 0;
  return result;
}

}  // namespace amend
