#include "requirements/comparison/contender.hpp"

#include <chrono>
#include <utility>

#include "metanet/graph/predict.hpp"

namespace amend {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

}  // namespace

std::vector<ComparedPoint> measured_by(const Referees& referees, const Networks& edited, double seconds) {
  std::vector<ComparedPoint> points;
  for (const Referee* referee : referees)
    points.push_back({.setting = {}, .seconds = seconds, .network = referee->measure(edited)});
  return points;
}

Contender network_contender(std::string name, std::string title, MethodKind kind, std::vector<std::string> settings,
                            NetworkMethod method) {
  Contender contender{.name = std::move(name),
                      .title = std::move(title),
                      .kind = kind,
                      .settings = std::move(settings),
                      .learning_rates = {},
                      .towards_labels = false,
                      .run = {}};
  contender.run = [method = std::move(method)](const Referees& referees, std::size_t setting, double) {
    const auto start = Clock::now();
    const std::vector<SubjectNetwork> edited = method(referees.front()->originals(), setting);
    const double seconds = seconds_since(start) / static_cast<double>(edited.size());
    return measured_by(referees, pointers_to(edited), seconds);
  };
  return contender;
}

Contender tuned_contender(const ContenderData& data, std::string name, std::string title, MethodKind kind,
                          std::vector<std::string> settings, NetworkMethod start, FineTuning tuning,
                          std::vector<double> lambda) {
  Contender contender{.name = std::move(name),
                      .title = std::move(title),
                      .kind = kind,
                      .settings = std::move(settings),
                      .learning_rates = data.config->learning_rates,
                      .towards_labels = tuning.target == FineTuningTarget::labels,
                      .run = {}};
  tuning.rows = data.config->fine_tuning_rows;
  tuning.seed = data.config->seed;
  contender.run = [&data, start = std::move(start), tuning = std::move(tuning), lambda = std::move(lambda)](
                      const Referees& referees, std::size_t setting, double learning_rate) {
    FineTuning chosen = tuning;
    chosen.learning_rate = learning_rate;
    const auto begin = Clock::now();
    const std::vector<SubjectNetwork> first = start(referees.front()->originals(), setting);
    std::vector<double> weights;
    if (!lambda.empty()) weights.assign(first.size() * chosen.requirements.size(), lambda[setting]);
    const std::vector<SubjectNetwork> edited =
        fine_tune(pointers_to(first), referees.front()->originals(), *data.dataset, data.dataset->editor_train, chosen,
                  weights, data.device);
    const double seconds = seconds_since(begin) / static_cast<double>(edited.size());
    return measured_by(referees, pointers_to(edited), seconds);
  };
  return contender;
}

}  // namespace amend
