#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace amend {

/// Means over the held-out networks on the audit rows.
struct DemoMeasure {
  double nonzero_share = 0.0;  // of the weights
  double accuracy = 0.0;       // share
  double divergence = 0.0;     // from the original, nats
  double gap = 0.0;            // equalised odds difference
};

/// One condition and what came of it.
struct DemoRow {
  double pruning = 0.0, fairness = 0.0;  // strengths
  DemoMeasure edited;
  DemoMeasure baseline;  // pruned to the same number of weights, network by network
};

/// Everything the demonstration measured.
struct DemoReport {
  std::size_t networks = 0;    // held out
  std::size_t trained_on = 0;  // that the editor learned from
  std::int64_t rows = 0;       // of the audit
  std::vector<std::string> groups;
  DemoMeasure original;
  std::vector<DemoRow> rows_edited;
  double population_seconds = 0.0, editor_seconds = 0.0, audit_seconds = 0.0;
  double edit_milliseconds = 0.0;  // a network
};

/// The conditions that are shown, without measurements: three of pruning alone, then with fairness.
std::vector<DemoRow> demo_conditions();

/// What the measurements say.
struct DemoVerdict {
  bool improved = false;  // closer to the originals than the baseline, or fairer at no more loss of accuracy
  std::string sentence;
};

/// Judges the strongest condition of fairness, and pruning alone at its strength.
DemoVerdict verdict(const DemoReport& report);

std::string format_report(const DemoReport& report);
nlohmann::ordered_json to_json(const DemoReport& report);

}  // namespace amend
