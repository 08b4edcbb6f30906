// editor_front: what a trained editor reaches on held-out networks and the audit split, strength by strength, beside
// the baselines. Prints the tables of docs/results.md; --json writes the same numbers.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "metanet/data/atomic_file.hpp"
#include "metanet/data/population.hpp"
#include "metanet/graph/predict.hpp"
#include "metanet/train/batch_editor.hpp"
#include "requirements/baseline/canonical.hpp"
#include "requirements/baseline/feature_selection.hpp"
#include "requirements/baseline/network_probe.hpp"
#include "requirements/baseline/pruning.hpp"
#include "requirements/metric/fairness.hpp"
#include "requirements/metric/feature_use.hpp"
#include "requirements/metric/utility.hpp"
#include "requirements/registry.hpp"

namespace {

using namespace amend;
using Networks = std::vector<const SubjectNetwork*>;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

double mean(const std::vector<double>& values) {
  double sum = 0.0;
  for (const double value : values) sum += value;
  return values.empty() ? 0.0 : sum / static_cast<double>(values.size());
}

/// One way of editing all held-out networks: a row of the table.
struct Front {
  std::string name;
  double strength = 0.0, lambda = 0.0, seconds = 0.0;            // seconds per network
  std::vector<double> nonzero, features, divergence, drop, gap;  // per network
  double canonical = -1.0, canonical_budget = 0.0;  // divergence of the best stand-in, and what it keeps of the axis

  nlohmann::json json() const {
    return {{"name", name},
            {"strength", strength},
            {"lambda", lambda},
            {"nonzero_share", mean(nonzero)},
            {"features", mean(features)},
            {"divergence", mean(divergence)},
            {"drop_points", mean(drop)},
            {"worst_drop", *std::max_element(drop.begin(), drop.end())},
            {"losing_over_a_point", std::count_if(drop.begin(), drop.end(), [](double d) { return d > 1.0; })},
            {"equalised_odds_sum", mean(gap)},
            {"canonical_divergence", canonical},
            {"canonical_keeps", canonical_budget},
            {"seconds_per_network", seconds},
            {"networks", drop.size()}};
  }
};

Networks networks_in(const std::vector<EditResult>& results) {
  Networks networks;
  for (const EditResult& result : results) networks.push_back(&result.network);
  return networks;
}

/// Measures edited networks against their originals on rows of a split.
class Referee {
 public:
  Referee(const Dataset& dataset, const Rows& rows, Networks originals, std::vector<std::string> sensitive)
      : dataset_(dataset), rows_(rows), originals_(std::move(originals)) {
    if (sensitive.empty() && !dataset.sensitive.empty()) sensitive = {dataset.sensitive.front().name};
    if (!sensitive.empty()) {
      group_ = group_ids(dataset, rows, sensitive);
      names_ = group_names(dataset, sensitive);
    }
    logits_ = predict_logits(originals_, rows.input.data(), rows.count, dataset.inputs);
  }

  void measure(const Networks& edited, Front& front) const {
    const std::int64_t size = rows_.count * dataset_.classes;
    predict_in_chunks(edited, rows_.input.data(), rows_.count, dataset_.inputs, [&](const PredictedChunk& chunk) {
      for (std::int64_t k = 0; k < chunk.count; ++k) {
        const auto index = static_cast<std::size_t>(chunk.first + k);
        const auto before =
            std::span(logits_).subspan(index * static_cast<std::size_t>(size), static_cast<std::size_t>(size));
        const auto after = chunk.logits.subspan(static_cast<std::size_t>(k * size), static_cast<std::size_t>(size));
        const auto was = predicted_classes(before, dataset_.classes), is = predicted_classes(after, dataset_.classes);
        front.drop.push_back(100.0 * (accuracy(was, rows_.label) - accuracy(is, rows_.label)));
        front.divergence.push_back(mean(row_divergence(before, after, dataset_.classes)));
        if (!names_.empty()) {
          const auto fairness = fairness_metrics(is, rows_.label, group_, names_, dataset_.classes);
          if (fairness.equalised_odds_sum.value) front.gap.push_back(*fairness.equalised_odds_sum.value);
        }
        const SubjectNetwork& network = *edited[index];
        front.nonzero.push_back(static_cast<double>(std::count_if(network.weights.begin(), network.weights.end(),
                                                                  [](float w) { return w != 0.0f; })) /
                                static_cast<double>(network.weights.size()));
        const auto used = used_features(network, dataset_.features);
        front.features.push_back(static_cast<double>(std::count(used.begin(), used.end(), 1)));
      }
    });
  }

 private:
  const Dataset& dataset_;
  const Rows& rows_;
  Networks originals_;
  std::vector<std::int32_t> group_;
  std::vector<std::string> names_;
  std::vector<float> logits_;
};

void print(const std::vector<Front>& rows) {
  fmt::print("{:<28} {:>8} {:>8} {:>8} {:>9} {:>7} {:>7} {:>5} {:>7} {:>9} {:>7} {:>9}\n", "", "lambda", "non-zero",
             "features", "JSD", "drop", "worst", ">1pt", "EO sum", "canonical", "keeps", "ms/net");
  for (const Front& row : rows)
    fmt::print("{:<28} {:>8.4f} {:>8.4f} {:>8.2f} {:>9.5f} {:>7.3f} {:>7.2f} {:>5} {:>7.4f} {:>9} {:>7} {:>9.2f}\n",
               row.name, row.lambda, mean(row.nonzero), mean(row.features), mean(row.divergence), mean(row.drop),
               *std::max_element(row.drop.begin(), row.drop.end()),
               std::count_if(row.drop.begin(), row.drop.end(), [](double d) { return d > 1.0; }), mean(row.gap),
               row.canonical >= 0.0 ? fmt::format("{:.5f}", row.canonical) : "",
               row.canonical >= 0.0 ? fmt::format("{:.3f}", row.canonical_budget) : "", 1e3 * row.seconds);
}

/// What a requirement is about: the column of a front that a table is read along.
using Axis = std::vector<double> Front::*;

/// The best stand-in for all originals among `candidates`, edits of training networks, that keep no more of the axis
/// than `budget` (or the one that keeps least): what the method would be without specificity. `kept` holds what each
/// keeps.
void measure_canonical(const Networks& candidates, const std::vector<double>& kept, double budget,
                       const Networks& originals, const std::vector<float>& choosing_rows, const Referee& referee,
                       Axis axis, Front& row) {
  Networks fitting;
  for (std::size_t n = 0; n < candidates.size(); ++n)
    if (kept[n] <= budget) fitting.push_back(candidates[n]);
  if (fitting.empty())
    fitting.push_back(candidates[static_cast<std::size_t>(std::min_element(kept.begin(), kept.end()) - kept.begin())]);
  const auto best = canonical_replacement(fitting, originals, choosing_rows);
  Front stand_in;
  referee.measure(Networks(originals.size(), fitting[static_cast<std::size_t>(best.index)]), stand_in);
  row.canonical = mean(stand_in.divergence);
  row.canonical_budget = mean(stand_in.*axis);
}

/// Log-linear interpolation of divergence and linear of drop, along `axis`, at `target`; false when outside.
bool interpolate(const std::vector<Front>& rows, Axis axis, double target, double& divergence, double& drop) {
  std::vector<const Front*> sorted;
  for (const Front& row : rows) sorted.push_back(&row);
  std::sort(sorted.begin(), sorted.end(),
            [&](const Front* a, const Front* b) { return mean(a->*axis) < mean(b->*axis); });
  for (std::size_t i = 0; i + 1 < sorted.size(); ++i) {
    const double low = mean(sorted[i]->*axis), high = mean(sorted[i + 1]->*axis);
    if (target < low || target > high || high <= low) continue;
    const double t =
        (std::log(target) - std::log(std::max(low, 1e-9))) / (std::log(high) - std::log(std::max(low, 1e-9)));
    divergence =
        std::exp((1 - t) * std::log(mean(sorted[i]->divergence)) + t * std::log(mean(sorted[i + 1]->divergence)));
    drop = (1 - t) * mean(sorted[i]->drop) + t * mean(sorted[i + 1]->drop);
    return true;
  }
  return false;
}

int run(int argc, char** argv) {
  CLI::App app{"What an editor reaches on held-out networks and audit data, beside the baselines"};
  std::string population_path, editor_path, data_path, json_path, name;
  int points = 10, batch = 64;
  bool baselines = true, canonical = true;
  app.add_option("--population", population_path, "folder of the population")->required();
  app.add_option("--editor", editor_path, "editor file")->required();
  app.add_option("--data", data_path, "dataset description; default: the one the editor was trained with");
  app.add_option("--requirement", name, "which requirement to sweep; default: the editor's first");
  app.add_option("--points", points, "strengths between 0 and 1");
  app.add_option("--batch", batch, "networks edited at once");
  app.add_flag("!--no-baselines", baselines, "leave out the baselines");
  app.add_flag("!--no-canonical", canonical, "leave out canonical replacement");
  app.add_option("--json", json_path, "also write the numbers here");
  CLI11_PARSE(app, argc, argv);

  const Population population = load_population(population_path);
  TrainedEditor trained = load_editor(editor_path, make_requirements, Device::cpu());
  const Dataset dataset = load_dataset(data_path.empty() ? trained.dataset_source : std::filesystem::path(data_path));
  if (population.dataset_fingerprint != dataset.fingerprint)
    fail_input(population_path, "expected networks trained on the editor's dataset `", dataset.name, "`");
  BatchEditor editor(trained, dataset);
  if (name.empty()) name = trained.config.shape.requirements.front();
  const auto requirement = static_cast<std::size_t>(trained.requirement(name, "--requirement"));
  const std::size_t requirements = trained.config.lambda.size();

  std::set<std::vector<int>> seen;
  Networks train, held_out;
  for (const int index : networks_of(population, PopulationSplit::train)) {
    train.push_back(&population.networks[static_cast<std::size_t>(index)]);
    seen.insert(train.back()->widths);
  }
  const Networks some(train.begin(),
                      train.begin() + static_cast<std::ptrdiff_t>(std::min<std::size_t>(train.size(), 40)));
  const bool pruning = name == "pruning", minimisation = name == "data_minimisation",
             fairness = !pruning && !minimisation;
  const Axis axis = pruning ? &Front::nonzero : minimisation ? &Front::features : &Front::gap;
  std::map<bool, Networks> by_novelty;  // networks of an unseen shape apart
  for (const int index : networks_of(population, PopulationSplit::test)) {
    const SubjectNetwork* network = &population.networks[static_cast<std::size_t>(index)];
    by_novelty[!seen.contains(network->widths)].push_back(network);
  }
  nlohmann::json all{{"editor", editor_path},
                     {"population", population_path},
                     {"requirement", name},
                     {"tables", nlohmann::json::array()}};
  for (const auto& [novel, originals] : by_novelty) {
    const Referee referee(dataset, dataset.audit, originals, trained.config.sensitive),
        validation_referee(dataset, dataset.validation, originals, trained.config.sensitive),
        some_referee(dataset, dataset.validation, some, trained.config.sensitive);
    const std::vector<float> choosing_rows = spread_rows(dataset.validation, dataset.inputs);
    std::vector<Front> editor_rows, baseline_rows;
    Front unedited{.name = "unedited"};
    referee.measure(originals, unedited);
    const std::vector<float> probe_rows = spread_rows(dataset.editor_train, dataset.inputs);
    for (int p = 0; p < points; ++p) {
      Front row;
      row.strength = points > 1 ? static_cast<double>(p) / (points - 1) : 1.0;
      row.lambda = trained.config.lambda[requirement].at_strength(std::max(row.strength, 1e-9));
      row.name = fmt::format("editor, strength {:.2f}", row.strength);
      const auto edit = [&](const Networks& networks) {
        std::vector<double> lambda(networks.size() * requirements, 0.0);
        for (std::size_t n = 0; n < networks.size(); ++n) lambda[n * requirements + requirement] = row.lambda;
        return editor.edit_all(networks, lambda, batch);
      };
      edit(originals);  // warm
      const auto start = Clock::now();
      const std::vector<EditResult> results = edit(originals);
      row.seconds = seconds_since(start) / static_cast<double>(originals.size());
      const Networks edited = networks_in(results);
      referee.measure(edited, row);
      if (canonical) {
        const auto candidates = edit(some);
        Front kept, own;
        some_referee.measure(networks_in(candidates), kept);
        // A gap is held against the gap of own edits on the same rows.
        if (fairness) validation_referee.measure(edited, own);
        measure_canonical(networks_in(candidates), kept.*axis, mean((fairness ? own : row).*axis), originals,
                          choosing_rows, referee, axis, row);
      }
      editor_rows.push_back(std::move(row));
    }
    if (baselines && name == "pruning")
      for (const double share : {0.58, 0.41, 0.30, 0.25, 0.10, 0.05, 0.03, 0.022}) {
        Front row{.name = fmt::format("OBD + fold, {:.1f}%", 100.0 * share)};
        const auto start = Clock::now();
        const auto pruned = prune(originals, probe_rows, share, {.score = WeightScore::obd, .fold = true});
        row.seconds = seconds_since(start) / static_cast<double>(originals.size());
        referee.measure(pointers_to(pruned), row);
        baseline_rows.push_back(std::move(row));
      }
    if (baselines && name == "data_minimisation") {
      const auto scoring = Clock::now();
      const auto scores = feature_scores(originals, probe_rows, dataset.features, FeatureScore::divergence);
      const double scoring_seconds = seconds_since(scoring);
      for (const std::int64_t kept : {10, 7, 5, 4, 3, 2}) {
        if (kept > static_cast<std::int64_t>(dataset.features.size())) continue;
        Front row{.name = fmt::format("mean ablation + fold, {}", kept)};
        const auto start = Clock::now();
        const auto reduced = remove_features(originals, dataset.features, select_features(scores, kept),
                                             column_means(probe_rows, dataset.inputs));
        row.seconds = (scoring_seconds + seconds_since(start)) / static_cast<double>(originals.size());
        referee.measure(pointers_to(reduced), row);
        baseline_rows.push_back(std::move(row));
      }
    }
    fmt::print("\n{}: {} held-out networks{}, audit split of {} rows\n", name, originals.size(),
               novel ? " of unseen shapes" : "", dataset.audit.count);
    print({unedited});
    print(editor_rows);
    if (!baseline_rows.empty()) print(baseline_rows);
    const std::vector<double> targets = pruning        ? std::vector{0.58, 0.41, 0.30, 0.25, 0.10, 0.05, 0.03, 0.022}
                                        : minimisation ? std::vector{7.0, 4.0, 3.0, 2.0}
                                                       : std::vector{0.10, 0.086, 0.078, 0.07, 0.061, 0.05, 0.045};
    nlohmann::json interpolated = nlohmann::json::array();
    fmt::print("interpolated at equal {}: JSD / drop, editor | baseline\n", pruning        ? "non-zero share"
                                                                            : minimisation ? "features"
                                                                                           : "equalised odds (sum)");
    for (const double target : targets) {
      double d = 0, a = 0, bd = 0, ba = 0;
      const bool ours = interpolate(editor_rows, axis, target, d, a),
                 theirs = interpolate(baseline_rows, axis, target, bd, ba);
      fmt::print("  {:>6.3f}: {} | {}\n", target, ours ? fmt::format("{:.5f} / {:.3f}", d, a) : "not reached",
                 theirs ? fmt::format("{:.5f} / {:.3f}", bd, ba) : "-");
      if (ours) interpolated.push_back({{"at", target}, {"divergence", d}, {"drop_points", a}});
    }
    nlohmann::json table{{"unseen_shapes", novel},
                         {"unedited", unedited.json()},
                         {"editor", nlohmann::json::array()},
                         {"baseline", nlohmann::json::array()},
                         {"interpolated", interpolated}};
    for (const Front& row : editor_rows) table["editor"].push_back(row.json());
    for (const Front& row : baseline_rows) table["baseline"].push_back(row.json());
    all["tables"].push_back(table);
  }
  if (!json_path.empty()) write_file_atomically(json_path, all.dump(1) + "\n");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const amend::InputError& error) {
    std::cerr << "editor_front: " << error.what() << "\n";
    return 2;
  } catch (const std::exception& error) {
    std::cerr << "editor_front: " << error.what() << "\n";
    return 1;
  }
}
