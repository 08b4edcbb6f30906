#include "requirements/comparison/referee.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "engine/error.hpp"
#include "engine/parallel.hpp"
#include "metanet/graph/predict.hpp"
#include "requirements/metric/fairness.hpp"
#include "requirements/metric/feature_use.hpp"
#include "requirements/metric/interval.hpp"
#include "requirements/metric/sparsity.hpp"
#include "requirements/metric/utility.hpp"

namespace amend {
Referee::Referee(const Dataset& dataset, const Rows& rows, Networks originals, std::string requirement,
                 std::vector<std::string> sensitive)
    : dataset_(&dataset), rows_(&rows), originals_(std::move(originals)), requirement_(std::move(requirement)) {
  check(!originals_.empty() && rows.count > 0, "referee", "got ", originals_.size(), " networks and ", rows.count,
        " rows");
  if (!sensitive.empty()) {
    group_ = group_ids(dataset, rows, sensitive);
    group_names_ = amend::group_names(dataset, sensitive);
  }
  logits_ = predict_logits(originals_, rows.input.data(), rows.count, dataset.inputs);
  accuracy_.resize(originals_.size());
  unedited_.resize(originals_.size());
  parallel_for(static_cast<std::int64_t>(originals_.size()), [&](std::int64_t n) {
    const auto index = static_cast<std::size_t>(n);
    const auto predicted = predicted_classes(logits(index), dataset.classes);
    accuracy_[index] = amend::accuracy(predicted, rows.label);
    unedited_[index] = requirement_of(*originals_[index], predicted);
  });
}

std::span<const float> Referee::logits(std::size_t index) const {
  const auto size = static_cast<std::size_t>(rows_->count * dataset_->classes);
  return std::span(logits_).subspan(index * size, size);
}

double Referee::requirement_of(const SubjectNetwork& network, std::span<const std::int32_t> predicted) const {
  if (requirement_.empty()) return 0.0;
  if (requirement_ == "pruning") return sparsity(network).nonzero_share;
  if (requirement_ == "data_minimisation") {
    const auto used = used_features(network, dataset_->features);
    return static_cast<double>(std::count(used.begin(), used.end(), 1));
  }
  check(requirement_ == "equalised_odds" && !group_names_.empty(), "referee", "cannot measure `", requirement_,
        "` with ", group_names_.size(), " groups");
  const auto metrics = fairness_metrics(predicted, rows_->label, group_, group_names_, dataset_->classes);
  const Estimate& gap = metrics.equalised_odds_sum;
  if (!gap.value || gap.partial())
    fail_input(dataset_->source.string(), "equalised odds cannot be measured on ", rows_->count, " rows of `",
               dataset_->name, "`: ", gap.note);
  return *gap.value;
}

std::vector<ComparedNetwork> Referee::measure(const Networks& edited) const {
  check(edited.size() == originals_.size(), "referee", "got ", edited.size(), " networks for ", originals_.size());
  std::vector<ComparedNetwork> result(edited.size());
  predict_in_chunks(edited, rows_->input.data(), rows_->count, dataset_->inputs, [&](const PredictedChunk& chunk) {
    const auto size = static_cast<std::size_t>(rows_->count * dataset_->classes);
    parallel_for(chunk.count, [&](std::int64_t k) {
      const auto index = static_cast<std::size_t>(chunk.first + k);
      const auto after = chunk.logits.subspan(static_cast<std::size_t>(k) * size, size);
      const auto predicted = predicted_classes(after, dataset_->classes);
      result[index] = {.requirement = requirement_of(*edited[index], predicted),
                       .divergence = mean(row_divergence(logits(index), after, dataset_->classes)),
                       .accuracy_drop = 100.0 * (accuracy_[index] - amend::accuracy(predicted, rows_->label))};
    });
  });
  return result;
}

ComparedNetwork Referee::measure(std::size_t index, const Answers& answers) const {
  ComparedNetwork result{.requirement = answers.gap,
                         .divergence = std::nullopt,
                         .accuracy_drop = 100.0 * (accuracy_[index] - answers.accuracy)};
  if (!answers.logits.empty())
    result.divergence = mean(row_divergence(logits(index), answers.logits, dataset_->classes));
  return result;
}

std::vector<double> Referee::constant_divergence() const {
  const int classes = dataset_->classes;
  std::vector<double> result(originals_.size());
  parallel_for(static_cast<std::int64_t>(originals_.size()), [&](std::int64_t n) {
    const auto own = logits(static_cast<std::size_t>(n));
    std::vector<double> share(static_cast<std::size_t>(classes), 0.0), row(share.size());
    for (std::size_t at = 0; at < own.size(); at += share.size()) {
      const double top = static_cast<double>(*std::max_element(
          own.begin() + static_cast<std::ptrdiff_t>(at), own.begin() + static_cast<std::ptrdiff_t>(at) + classes));
      double sum = 0.0;
      for (std::size_t c = 0; c < share.size(); ++c) sum += row[c] = std::exp(static_cast<double>(own[at + c]) - top);
      for (std::size_t c = 0; c < share.size(); ++c) share[c] += row[c] / sum / static_cast<double>(rows_->count);
    }
    std::vector<float> constant;
    for (std::int64_t r = 0; r < rows_->count; ++r)
      for (const double p : share) constant.push_back(static_cast<float>(std::log(std::max(p, 1e-30))));
    result[static_cast<std::size_t>(n)] = mean(row_divergence(own, constant, classes));
  });
  return result;
}

}  // namespace amend
