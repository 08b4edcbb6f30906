#include "test/support/comparison_example.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "engine/random.hpp"

namespace amend::test {
namespace {

struct ExampleShape {
  const char *name, *title, *tuned;
  MethodKind kind;
  double cost;     // of a given edit, of the editor's
  double seconds;  // per network
};

const std::vector<ExampleShape>& shapes() {
  static const std::vector<ExampleShape> list{
      {"editor", "editor", "width 32, 3 passes", MethodKind::editor, 1.0, 0.0031},
      {"editor_polished", "editor, then 50 steps", "learning rate 0.001", MethodKind::polished, 0.78, 0.041},
      {"magnitude", "magnitude", "", MethodKind::one_shot, 4.6, 0.0006},
      {"obd", "OBD", "", MethodKind::one_shot, 3.4, 0.0028},
      {"obd_fold", "OBD + fold", "", MethodKind::one_shot, 2.7, 0.0034},
      {"canonical", "one network for all", "", MethodKind::canonical, 3.0, 0.0001},
      {"obd_tuned_1", "OBD + fold, 1 epoch", "learning rate 0.003", MethodKind::fine_tuned, 1.6, 0.19},
      {"obd_tuned_3", "OBD + fold, 3 epochs", "learning rate 0.003", MethodKind::fine_tuned, 1.25, 0.57},
      {"gradual", "gradual magnitude, 10 epochs", "learning rate 0.001, 8 steps", MethodKind::fine_tuned, 0.93, 1.9},
      {"retrained", "small network from scratch", "width 8", MethodKind::retrained, 1.9, 3.4}};
  return list;
}

/// Between -1 and 1, the same for the same arguments.
double noise(std::size_t method, std::size_t setting, std::size_t network) {
  const RandomStream random(7, static_cast<std::uint32_t>(method), static_cast<std::uint32_t>(setting));
  return static_cast<double>(random.below(network, 2001)) / 1000.0 - 1.0;
}

/// The share of the unit rectangle that points (x, y) dominate, both smaller is better.
double dominated(std::vector<std::pair<double, double>> front) {
  std::sort(front.begin(), front.end());
  double area = 0.0, height = 1.0;
  for (const auto& [x, y] : front) {
    if (y >= height || x >= 1.0) continue;
    area += (1.0 - std::max(0.0, x)) * (height - std::max(0.0, y));
    height = std::max(0.0, y);
  }
  return area;
}

ComparedMean mean_of(const std::vector<double>& values) {
  double sum = 0.0;
  for (double value : values) sum += value;
  return {sum / static_cast<double>(values.size()), bootstrap_intervals(values, 1, 3).front()};
}

ComparedVolume volume_of(std::vector<double> own, const std::vector<double>& editor) {
  ComparedVolume volume;
  std::vector<double> lead(own.size());
  for (std::size_t n = 0; n < own.size(); ++n) {
    lead[n] = editor[n] - own[n];
    volume.editor_wins += (lead[n] > 0.0 ? 1.0 : 0.0) / static_cast<double>(own.size());
  }
  volume.volume = mean_of(own);
  volume.editor_lead = mean_of(lead);
  volume.network = std::move(own);
  return volume;
}

ComparisonTable table_of(std::size_t methods, std::size_t settings, std::size_t networks, bool logarithmic,
                         double rivalry, bool divergences) {
  ComparisonTable table{.logarithmic = logarithmic};
  for (std::size_t n = 0; n < networks; ++n) {
    table.network.push_back("net-" + std::to_string(1000 + n));
    table.unedited.push_back(logarithmic ? 0.78 + 0.2 * noise(90, 0, n) : 0.21 + 0.03 * noise(90, 0, n));
    table.accuracy.push_back(0.845 + 0.008 * noise(91, 0, n));
    table.constant_divergence.push_back(0.102 + 0.01 * noise(92, 0, n));
    table.useless_drop.push_back(9.1 + 0.9 * noise(93, 0, n));
  }
  for (std::size_t m = 0; m < std::min(methods, shapes().size()); ++m) {
    const ExampleShape& shape = shapes()[m];
    const double cost = m == 0 ? 1.0 : std::max(0.4, shape.cost * rivalry);
    ComparedMethod method{.name = shape.name, .title = shape.title, .kind = shape.kind, .tuned = shape.tuned};
    for (std::size_t s = 0; s < settings; ++s) {
      const double strength = (static_cast<double>(s) + 1.0) / static_cast<double>(settings);
      ComparedPoint point{.setting = "strength " + std::to_string(strength).substr(0, 5),
                          .seconds = shape.seconds * (0.9 + 0.2 * strength)};
      for (std::size_t n = 0; n < networks; ++n) {
        const double kept = logarithmic ? std::exp(-4.3 * strength) : 1.0 - 0.93 * strength;
        const double requirement = table.unedited[n] * kept * (1.0 + 0.12 * noise(m, s, n));
        const double lost = std::min(1.0, cost * 0.1 * std::pow(strength, 2.4) * (1.0 + 0.5 * noise(m + 20, s, n)));
        point.network.push_back(
            {requirement,
             divergences || m == 0 ? std::optional<double>(table.constant_divergence[n] * lost) : std::nullopt,
             0.8 * table.useless_drop[n] * std::pow(lost, 1.35) + 0.16 * noise(m + 40, s, n) - 0.05 * strength});
      }
      method.points.push_back(std::move(point));
    }
    table.methods.push_back(std::move(method));
  }
  fill_volumes(table);
  return table;
}

}  // namespace

void fill_volumes(ComparisonTable& table) {
  std::vector<double> editor_divergence, editor_accuracy;
  for (ComparedMethod& method : table.methods) {
    std::vector<double> divergence, accuracy;
    bool whole = !method.points.empty();
    for (std::size_t n = 0; n < table.network.size(); ++n) {
      std::vector<std::pair<double, double>> by_divergence, by_accuracy;
      for (const ComparedPoint& point : method.points) {
        const ComparedNetwork& network = point.network[n];
        const double x = network.requirement / table.unedited[n];
        by_accuracy.push_back({x, network.accuracy_drop / table.useless_drop[n]});
        if (network.divergence) by_divergence.push_back({x, *network.divergence / table.constant_divergence[n]});
        whole = whole && network.divergence.has_value();
      }
      divergence.push_back(dominated(by_divergence));
      accuracy.push_back(dominated(by_accuracy));
    }
    if (&method == &table.methods.front()) editor_divergence = divergence, editor_accuracy = accuracy;
    method.divergence_volume.reset();
    if (whole) method.divergence_volume = volume_of(divergence, editor_divergence);
    method.accuracy_volume = volume_of(accuracy, editor_accuracy);
  }
}

Comparison comparison_example(std::size_t methods, std::size_t settings, std::size_t networks) {
  Comparison comparison{.title = "Editor against baselines",
                        .dataset = "example",
                        .rows = 16281,
                        .version = "0.1.0",
                        .hardware = "an example of a processor, 2 threads",
                        .command = "amend compare configs/comparison_example.yaml --out example"};
  comparison.tables.push_back(table_of(methods, settings, networks, true, 1.45, true));
  comparison.tables.back().requirement = "pruning";
  comparison.tables.back().axis = "share of weights that are not zero";
  comparison.tables.back().networks = "held-out";
  comparison.tables.push_back(table_of(methods, settings, networks, true, 1.0, true));
  comparison.tables.back().requirement = "pruning";
  comparison.tables.back().axis = "share of weights that are not zero";
  comparison.tables.back().networks = "held-out, shapes not in training";
  comparison.tables.push_back(table_of(std::min<std::size_t>(methods, 5), settings, networks, false, 0.9, false));
  comparison.tables.back().requirement = "equalised odds";
  comparison.tables.back().axis = "sum of the gaps between groups in true and false positive rates";
  comparison.tables.back().networks = "shift: education";
  return comparison;
}

}  // namespace amend::test
