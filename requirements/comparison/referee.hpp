#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "metanet/data/dataset.hpp"
#include "metanet/data/subject_network.hpp"
#include "requirements/comparison/comparison.hpp"

namespace amend {

using Networks = std::vector<const SubjectNetwork*>;

/// Measures what methods make of networks, on the same rows and for one requirement.
class Referee {
 public:
  /// The arguments outlive this. requirement: empty when only divergence and accuracy are to be measured. sensitive:
  /// attributes whose intersection forms the groups; may be empty for requirements that look at none.
  Referee(const Dataset& dataset, const Rows& rows, Networks originals, std::string requirement,
          std::vector<std::string> sensitive);

  /// `edited[n]` is what became of original n. Throws Error when the requirement cannot be measured: a group without
  /// enough rows.
  std::vector<ComparedNetwork> measure(const Networks& edited) const;

  /// What a predictor reaches that is no network: its accuracy, its sum of gaps and, if it has any, its logits.
  struct Answers {
    double accuracy = 0.0, gap = 0.0;
    std::vector<float> logits;  // (rows, classes), or empty
  };
  ComparedNetwork measure(std::size_t index, const Answers& answers) const;

  /// What the requirement is of a network with these predictions.
  double requirement_of(const SubjectNetwork& network, std::span<const std::int32_t> predicted) const;

  const Networks& originals() const { return originals_; }
  const Rows& rows() const { return *rows_; }
  std::span<const std::int32_t> group() const { return group_; }  // (rows), or empty
  const std::vector<std::string>& group_names() const { return group_names_; }
  std::span<const float> logits(std::size_t index) const;  // (rows, classes) of original `index`
  double accuracy(std::size_t index) const { return accuracy_[index]; }
  std::vector<double> unedited() const { return unedited_; }  // (networks)
  const std::vector<double>& accuracies() const { return accuracy_; }
  /// Mean divergence of always answering with the original's mean prediction, per network.
  std::vector<double> constant_divergence() const;

 private:
  const Dataset* dataset_;
  const Rows* rows_;
  Networks originals_;
  std::string requirement_;
  std::vector<std::int32_t> group_;
  std::vector<std::string> group_names_;
  std::vector<float> logits_;                // (networks, rows, classes) of the originals
  std::vector<double> accuracy_, unedited_;  // (networks)
};

/// Referees of the same networks on different rows.
using Referees = std::vector<const Referee*>;

}  // namespace amend
