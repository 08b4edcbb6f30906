#include "requirements/comparison/comparison_run.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <map>
#include <set>

#include "engine/error.hpp"
#include "metanet/data/population.hpp"
#include "metanet/graph/predict.hpp"
#include "requirements/baseline/canonical.hpp"
#include "requirements/baseline/network_probe.hpp"
#include "requirements/comparison/contender.hpp"
#include "requirements/comparison/editor_contenders.hpp"
#include "requirements/comparison/fairness_contenders.hpp"
#include "requirements/comparison/feature_contenders.hpp"
#include "requirements/comparison/front.hpp"
#include "requirements/comparison/joint.hpp"
#include "requirements/comparison/pruning_contenders.hpp"
#include "requirements/metric/interval.hpp"
#include "requirements/registry.hpp"

namespace amend {
namespace {

ComparedMean mean_over_networks(const std::vector<double>& values, std::uint64_t seed) {
  return {mean(values), bootstrap_intervals(values, 1, seed).front()};
}

/// The front of one network: its unedited self, and the method at every setting.
double volume_of(const ComparisonTable& table, const ComparedMethod& method, std::size_t network, bool divergence) {
  const double unedited = table.unedited[network];
  if (unedited <= 0.0) return 1.0;  // nothing is left to be done
  std::vector<FrontPoint> points{{unedited, 0.0}};
  for (const ComparedPoint& point : method.points) {
    const ComparedNetwork& measured = point.network[network];
    points.push_back({measured.requirement, divergence ? *measured.divergence : measured.accuracy_drop});
  }
  return hypervolume(points, {unedited, divergence ? table.constant_divergence[network] : table.useless_drop[network]});
}

ComparedVolume volumes(const ComparisonTable& table, const ComparedMethod& method, bool divergence,
                       std::uint64_t seed) {
  ComparedVolume result;
  for (std::size_t n = 0; n < table.network.size(); ++n)
    result.network.push_back(volume_of(table, method, n, divergence));
  result.volume = mean_over_networks(result.network, seed);
  return result;
}

void compare_volumes(const ComparedVolume& first, ComparedVolume& other, std::uint64_t seed) {
  std::vector<double> lead;
  std::size_t wins = 0;
  for (std::size_t n = 0; n < first.network.size(); ++n) {
    lead.push_back(first.network[n] - other.network[n]);
    wins += lead.back() > 0.0;
  }
  other.editor_lead = mean_over_networks(lead, seed);
  other.editor_wins = static_cast<double>(wins) / static_cast<double>(lead.size());
}

bool has_divergence(const ComparedMethod& method) {
  return std::all_of(method.points.begin(), method.points.end(), [](const ComparedPoint& point) {
    return std::all_of(point.network.begin(), point.network.end(),
                       [](const ComparedNetwork& network) { return network.divergence.has_value(); });
  });
}

void add_volumes(ComparisonTable& table, std::uint64_t seed) {
  for (ComparedMethod& method : table.methods) {
    method.accuracy_volume = volumes(table, method, false, seed);
    if (has_divergence(method)) method.divergence_volume = volumes(table, method, true, seed);
  }
  const ComparedMethod first = table.methods.front();
  for (ComparedMethod& method : table.methods) {
    compare_volumes(first.accuracy_volume, method.accuracy_volume, seed);
    if (method.divergence_volume) compare_volumes(*first.divergence_volume, *method.divergence_volume, seed);
  }
}

class Run {
 public:
  Run(const ComparisonConfig& config, Device device, const ComparisonProgress& progress)
      : config_(config), device_(device), progress_(progress) {}

  Comparison run() {
    population_ = load_population(config_.population);
    load_data();
    std::set<std::vector<int>> seen;
    for (const int index : networks_of(population_, PopulationSplit::train)) {
      training_.push_back(&population_.networks[static_cast<std::size_t>(index)]);
      seen.insert(training_.back()->widths);
    }
    for (const int index : networks_of(population_, PopulationSplit::validation))
      tuning_.push_back(&population_.networks[static_cast<std::size_t>(index)]);
    std::map<bool, Networks> held_out;  // true: of a shape that no training network has
    for (const int index : networks_of(population_, PopulationSplit::test)) {
      const SubjectNetwork* network = &population_.networks[static_cast<std::size_t>(index)];
      Networks& list = held_out[!seen.contains(network->widths)];
      if (config_.networks == 0 || list.size() < static_cast<std::size_t>(config_.networks)) list.push_back(network);
    }
    if (held_out.empty()) fail_input(config_.population.string(), "has no networks in the test split");
    if (tuning_.empty()) fail_input(config_.population.string(), "has no networks in the validation split");
    training_.resize(std::min(training_.size(), static_cast<std::size_t>(config_.canonical_candidates)));
    tuning_.resize(std::min(tuning_.size(), static_cast<std::size_t>(config_.tuning_networks)));

    Comparison comparison{.title = config_.title,
                          .dataset = dataset_.name,
                          .rows = dataset_.audit.count,
                          .version = {},
                          .hardware = {},
                          .command = {},
                          .tables = {},
                          .joint = {}};
    for (const ComparisonTableConfig& table : config_.tables)
      for (const auto& [novel, networks] : held_out)
        for (ComparisonTable& measured : measure(table, networks, novel))
          comparison.tables.push_back(std::move(measured));
    if (!config_.joint.strengths.empty()) {
      Networks all;
      for (const auto& [novel, networks] : held_out) all.insert(all.end(), networks.begin(), networks.end());
      ContenderData data{.dataset = &dataset_, .config = &config_, .device = device_};
      data.sensitive =
          load_editor(config_.joint.combined.file, make_requirements, Device::cpu()).sensitive_on(dataset_);
      comparison.joint = compare_jointly(data, config_.joint, all);
    }
    return comparison;
  }

 private:
  void load_data() {
    const TrainedEditor first =
        load_editor(config_.tables.empty() ? config_.joint.combined.file : config_.tables.front().editors.front().file,
                    make_requirements, Device::cpu());
    dataset_ = load_dataset(!config_.data.empty() ? config_.data
                            : first.transfers()   ? population_.dataset_source
                                                  : first.datasets.front().source);
    if (population_.dataset_fingerprint != dataset_.fingerprint)
      fail_input(config_.population.string(), "expected networks on `", dataset_.name,
                 "` as the editors edit, its own are on `", population_.dataset_name, "`");
    if (dataset_.audit.count == 0 || dataset_.validation.count == 0)
      fail_input(dataset_.source.string(), "a comparison needs audit and validation rows, `", dataset_.name, "` has ",
                 dataset_.audit.count, " and ", dataset_.validation.count);
  }

  /// A table on all audit rows and one on each shifted part of them, of the same edits.
  std::vector<ComparisonTable> measure(const ComparisonTableConfig& table_config, const Networks& networks,
                                       bool novel) {
    ContenderData data{.dataset = &dataset_,
                       .config = &config_,
                       .table = &table_config,
                       .device = device_,
                       .sensitive = {},
                       .probe_rows = spread_rows(dataset_.editor_train, dataset_.inputs),
                       .training_networks = training_,
                       .choosing_rows = spread_rows(dataset_.validation, dataset_.inputs)};
    std::vector<EditorContender> editors;
    for (const ComparedEditor& editor : table_config.editors) editors.emplace_back(data, editor);
    for (const std::int64_t rows : table_config.probe_rows) {
      const ComparedEditor& first = table_config.editors.front();
      editors.emplace_back(data,
                           ComparedEditor{fmt::format("{}, probes of {} rows", first.title, rows), first.file, rows});
    }
    data.sensitive = editors.front().sensitive_on(dataset_);
    std::vector<Contender> contenders = make_contenders(data, editors);

    // Learning rates are chosen by divergence or accuracy: small validation splits have too few rows for gaps.
    const Referee tuning(dataset_, dataset_.validation, tuning_, "", data.sensitive);
    std::vector<Rows> shifted;
    for (const RowShift& shift : config_.shifts)
      shifted.push_back(shifted_rows(dataset_, dataset_.audit, shift, config_.file.string() + ": shifts"));
    std::vector<std::unique_ptr<Referee>> owned;
    Referees referees;
    std::vector<ComparisonTable> tables;
    for (std::size_t part = 0; part <= shifted.size(); ++part) {
      owned.push_back(std::make_unique<Referee>(dataset_, part == 0 ? dataset_.audit : shifted[part - 1], networks,
                                                table_config.requirement, data.sensitive));
      referees.push_back(owned.back().get());
      tables.push_back(outline(table_config, *owned.back(), novel));
      if (part > 0)
        tables.back().networks +=
            fmt::format(", on {} rows of {}", shifted[part - 1].count, config_.shifts[part - 1].name);
    }
    tables.front().specificity = specificity_of(editors.front(), networks, data);
    std::size_t done = 0, all = 0;
    for (const Contender& contender : contenders)
      all += contender.settings.size() * (1 + (contender.learning_rates.size() > 1 ? 1 : 0));
    for (const Contender& contender : contenders) {
      const auto report = [&] {
        if (progress_) progress_(table_config.requirement + ": " + contender.title, done, all);
      };
      ComparedMethod method{.name = contender.name,
                            .title = contender.title,
                            .kind = contender.kind,
                            .tuned = {},
                            .points = {},
                            .divergence_volume = std::nullopt,
                            .accuracy_volume = {}};
      report();
      const std::vector<double> rates = choose_rates(contender, tuning);
      if (!contender.learning_rates.empty()) {
        const auto [low, high] = std::minmax_element(rates.begin(), rates.end());
        method.tuned = *low == *high ? fmt::format("learning rate {:g}", *low)
                                     : fmt::format("learning rate per setting, {:g} to {:g}", *low, *high);
      }
      if (contender.learning_rates.size() > 1) done += contender.settings.size();
      for (std::size_t setting = 0; setting < contender.settings.size(); ++setting) {
        report();
        std::vector<ComparedPoint> points = contender.run(referees, setting, rates[setting]);
        for (std::size_t part = 0; part < tables.size(); ++part) {
          if (setting == 0) tables[part].methods.push_back(method);
          points[part].setting = contender.settings[setting];
          tables[part].methods.back().points.push_back(std::move(points[part]));
        }
        ++done;
      }
    }
    for (ComparisonTable& table : tables) add_volumes(table, config_.seed);
    return tables;
  }

  std::vector<ComparedSpecificity> specificity_of(const EditorContender& editor, const Networks& networks,
                                                  const ContenderData& data) const {
    std::vector<ComparedSpecificity> rows;
    if (networks.size() < 2) return rows;
    const std::vector<std::string> settings = editor.settings();
    for (std::size_t setting = 0; setting < settings.size(); ++setting) {
      const std::vector<SubjectNetwork> edited = editor.edit(networks, setting);
      const Specificity found = specificity(networks, pointers_to(edited), data.choosing_rows);
      std::set<std::vector<bool>> masks;
      for (const SubjectNetwork& network : edited) {
        std::vector<bool> mask;
        for (const float weight : network.weights) mask.push_back(weight != 0.0f);
        masks.insert(std::move(mask));
      }
      rows.push_back({.setting = settings[setting],
                      .own = found.own,
                      .cross = found.cross,
                      .canonical = found.best_canonical,
                      .among_edited = found.among_edited,
                      .among_originals = found.among_originals,
                      .masks = static_cast<std::int64_t>(masks.size())});
    }
    return rows;
  }

  ComparisonTable outline(const ComparisonTableConfig& config, const Referee& referee, bool novel) const {
    ComparisonTable table{.requirement = config.requirement,
                          .axis = config.requirement == "pruning"             ? "share of weights that are not zero"
                                  : config.requirement == "data_minimisation" ? "features used"
                                                                              : "equalised odds, sum of both gaps",
                          .logarithmic = config.requirement != "equalised_odds",
                          .networks = novel ? "held out, of shapes that are not in training" : "held out",
                          .network = {},
                          .unedited = referee.unedited(),
                          .accuracy = referee.accuracies(),
                          .constant_divergence = referee.constant_divergence(),
                          .useless_drop = std::vector<double>(referee.originals().size(), kUselessDrop),
                          .methods = {},
                          .specificity = {}};
    for (const SubjectNetwork* network : referee.originals()) table.network.push_back(network->name);
    return table;
  }

  /// The learning rate of least mean loss on validation networks for every setting: what suits a strong setting would
  /// harm a mild one.
  std::vector<double> choose_rates(const Contender& contender, const Referee& tuning) const {
    if (contender.learning_rates.size() <= 1)
      return std::vector<double>(contender.settings.size(),
                                 contender.learning_rates.empty() ? 0.0 : contender.learning_rates[0]);
    std::vector<double> best;
    for (std::size_t setting = 0; setting < contender.settings.size(); ++setting) {
      double least = std::numeric_limits<double>::infinity();
      best.push_back(0.0);
      for (const double rate : contender.learning_rates) {
        double loss = 0.0;
        const std::vector<ComparedPoint> points = contender.run({&tuning}, setting, rate);
        for (const ComparedNetwork& network : points.front().network)
          loss += contender.towards_labels ? network.accuracy_drop : network.divergence.value();
        if (loss >= least) continue;
        least = loss;
        best.back() = rate;
      }
    }
    return best;
  }

  const ComparisonConfig& config_;
  Device device_;
  const ComparisonProgress& progress_;
  Population population_;
  Dataset dataset_;
  Networks training_, tuning_;
};

}  // namespace

std::vector<Contender> make_contenders(const ContenderData& data, const std::vector<EditorContender>& editors) {
  const auto& names = data.table->baselines;
  const Wanted wanted = [&names](const std::string& name) {
    return names.empty() || std::find(names.begin(), names.end(), name) != names.end();
  };
  std::vector<Contender> contenders;
  add_editor_contenders(data, editors, contenders);
  if (data.table->requirement == "pruning") add_pruning_contenders(data, wanted, contenders);
  if (data.table->requirement == "data_minimisation") add_feature_contenders(data, wanted, contenders);
  if (data.table->requirement == "equalised_odds") add_fairness_contenders(data, wanted, contenders);
  return contenders;
}

std::vector<std::string> compared_requirements() { return {"pruning", "data_minimisation", "equalised_odds"}; }

std::vector<std::string> baseline_names(const std::string& requirement) {
  if (requirement == "pruning") return pruning_baselines();
  if (requirement == "data_minimisation") return feature_baselines();
  if (requirement == "equalised_odds") return fairness_baselines();
  return {};
}

Comparison compare(const ComparisonConfig& config, Device device, const ComparisonProgress& progress) {
  return Run(config, device, progress).run();
}

}  // namespace amend
