#include "requirements/comparison/joint.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <memory>

#include "metanet/graph/predict.hpp"
#include "requirements/metric/interval.hpp"

namespace amend {
namespace {

/// Measures every requirement of edited networks on audit rows.
class JointReferee {
 public:
  JointReferee(const ContenderData& data, const Networks& networks, bool groups)
      : features_(static_cast<double>(data.dataset->features.size())) {
    for (const char* requirement : {"pruning", "data_minimisation"}) add(data, networks, requirement);
    if (groups) add(data, networks, "equalised_odds");
  }

  /// lambda: of pruning, data minimisation and equalised odds. `objective` of every network goes to `objectives`.
  ComparedJoint measure(const std::vector<SubjectNetwork>& edited, const std::array<double, 3>& lambda,
                        std::vector<double>& objectives) const {
    ComparedJoint row;
    std::vector<std::vector<ComparedNetwork>> measured;
    for (const auto& referee : referee_) measured.push_back(referee->measure(pointers_to(edited)));
    const auto average = [&](std::size_t which) {
      std::vector<double> values;
      for (const ComparedNetwork& network : measured[which]) values.push_back(network.requirement);
      return mean(values);
    };
    row.nonzero_share = average(0);
    row.features = average(1);
    if (measured.size() > 2) row.gap = average(2);
    objectives.clear();
    std::vector<double> drops, divergences;
    for (std::size_t n = 0; n < edited.size(); ++n) {
      divergences.push_back(measured[0][n].divergence.value());
      drops.push_back(measured[0][n].accuracy_drop);
      double objective = divergences.back();
      for (std::size_t r = 0; r < measured.size(); ++r)
        objective += lambda[r] * measured[r][n].requirement / (r == 1 ? features_ : 1.0);
      objectives.push_back(objective);
    }
    row.divergence = mean(divergences);
    row.accuracy_drop = mean(drops);
    return row;
  }

 private:
  void add(const ContenderData& data, const Networks& networks, const char* requirement) {
    referee_.push_back(
        std::make_unique<Referee>(*data.dataset, data.dataset->audit, networks, requirement, data.sensitive));
  }

  double features_;
  std::vector<std::unique_ptr<Referee>> referee_;
};

}  // namespace

std::vector<ComparedJoint> compare_jointly(const ContenderData& data, const JointConfig& config,
                                           const Networks& networks) {
  LoadedEditor combined(config.combined.file, *data.dataset, data.device);
  std::vector<std::unique_ptr<LoadedEditor>> single;
  for (const ComparedEditor& editor : config.sequence)
    single.push_back(std::make_unique<LoadedEditor>(editor.file, *data.dataset, data.device));
  const JointReferee referee(data, networks, !data.sensitive.empty());

  std::vector<ComparedJoint> rows;
  for (const std::vector<double>& strengths : config.strengths) {
    std::vector<double> all(combined.trained().config.lambda.size(), 0.0);
    std::vector<std::vector<double>> each;
    std::array<double, 3> weight{};  // pruning, data minimisation, equalised odds
    std::string setting;
    for (std::size_t r = 0; r < config.sequence.size(); ++r) {
      const std::string& name = config.sequence[r].title;
      const auto place = static_cast<std::size_t>(combined.trained().requirement(name, config.combined.file.string()));
      const auto own =
          static_cast<std::size_t>(single[r]->trained().requirement(name, config.sequence[r].file.string()));
      const double lambda = combined.trained().config.lambda[place].at_strength(strengths[r]);
      all[place] = lambda;
      each.emplace_back(single[r]->trained().config.lambda.size(), 0.0);
      each.back()[own] = lambda;
      weight[name == "pruning" ? 0 : name == "data_minimisation" ? 1 : 2] = lambda;
      if (strengths[r] > 0.0) setting += fmt::format("{}{} {:g}", setting.empty() ? "" : ", ", name, strengths[r]);
    }
    std::vector<double> first;
    const auto add = [&](const std::string& method, const auto& edit) {
      edit();  // takes up memory
      const auto start = std::chrono::steady_clock::now();
      const std::vector<SubjectNetwork> edited = edit();
      const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
      std::vector<double> objectives;
      ComparedJoint row = referee.measure(edited, weight, objectives);
      row.setting = setting;
      row.method = method;
      row.seconds = seconds.count() / static_cast<double>(networks.size());
      if (first.empty()) first = objectives;
      std::vector<double> lead;
      for (std::size_t n = 0; n < objectives.size(); ++n) lead.push_back(objectives[n] - first[n]);
      const std::uint64_t seed = data.config->seed;
      row.objective = {mean(objectives), bootstrap_intervals(objectives, 1, seed).front()};
      row.lead = {mean(lead), bootstrap_intervals(lead, 1, seed).front()};
      rows.push_back(std::move(row));
    };
    add(config.combined.title, [&] { return combined.edit(networks, all); });
    for (const bool reversed : {false, true}) {
      std::vector<std::size_t> order;
      for (std::size_t r = 0; r < config.sequence.size(); ++r)
        if (strengths[r] > 0.0) order.push_back(r);
      if (reversed && order.size() < 2) continue;
      if (reversed) std::reverse(order.begin(), order.end());
      std::string method;
      for (const std::size_t r : order) method += (method.empty() ? "" : ", then ") + config.sequence[r].title;
      add(method, [&] {
        std::vector<SubjectNetwork> edited;
        for (const std::size_t r : order)
          edited = single[r]->edit(edited.empty() ? networks : pointers_to(edited), each[r]);
        return edited;
      });
    }
  }
  return rows;
}

}  // namespace amend
