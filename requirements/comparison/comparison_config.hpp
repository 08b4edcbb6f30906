#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "requirements/comparison/row_shift.hpp"

namespace amend {

/// An editor of a comparison and how it is called there.
struct ComparedEditor {
  std::string title;
  std::filesystem::path file;
  std::int64_t probe_rows = 0;  // of its edits; 0: as it was trained
};

/// What is compared for one requirement.
struct ComparisonTableConfig {
  std::string requirement;
  std::vector<ComparedEditor> editors;   // the first is the one that baselines are held against
  std::vector<std::int64_t> probe_rows;  // the first editor once more with probes of so many rows
  int strengths = 12;                    // settings of editors, and of methods that are set by a lambda
  std::vector<double> budgets;           // of methods that are told what to keep: shares, or numbers of features
  std::vector<std::string> baselines;    // names, see `baseline_names`; empty: all for the requirement
};

/// Several requirements at once: one editor for all of them against one editor each, applied in sequence.
struct JointConfig {
  ComparedEditor combined;                     // a file without a name: no joint comparison
  std::vector<ComparedEditor> sequence;        // titles are requirements
  std::vector<std::vector<double>> strengths;  // per setting: of the requirements of `sequence`, 0: off
};

/// What `amend compare` does; docs/comparison.md describes the keys.
struct ComparisonConfig {
  std::filesystem::path file;
  std::string title;
  std::filesystem::path population;
  std::filesystem::path data;  // description; empty: the one of the editors, or of the population
  int networks = 0;            // most held-out networks; 0: all
  std::uint64_t seed = 1;
  std::vector<ComparisonTableConfig> tables;

  std::vector<double> fine_tuning_epochs{1.0, 3.0};
  std::int64_t fine_tuning_rows = 128;  // a step
  std::vector<double> learning_rates{1e-3, 3e-3, 1e-2, 3e-2};
  int tuning_networks = 8;  // validation networks that learning rates are chosen on
  double retraining_epochs = 10.0;
  std::vector<std::int64_t> polish{12};  // steps
  int canonical_candidates = 40;         // edits of training networks
  JointConfig joint;
  std::vector<RowShift> shifts;  // parts of the audit rows to measure on as well
};

/// Reads and validates a configuration. Relative paths of population and editors count from `folder`, that of the data
/// from the file's folder. Throws InputError that names file and key.
ComparisonConfig load_comparison_config(const std::filesystem::path& file, const std::filesystem::path& folder);
/// The same from text; `name` stands for the file.
ComparisonConfig parse_comparison_config(const std::string& text, const std::string& name,
                                         const std::filesystem::path& folder);

}  // namespace amend
