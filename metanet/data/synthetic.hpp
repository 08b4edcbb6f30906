#pragma once

#include <vector>

#include "metanet/data/dataset_description.hpp"
#include "metanet/data/source_table.hpp"

namespace amend {

/// The columns, label and sensitive attribute of the synthetic set.
DatasetDescription synthetic_description(const SyntheticSettings& settings);

struct SyntheticTable {
  SourceTable source;              // columns in the order of synthetic_description
  std::vector<float> probability;  // (rows): of the positive class, given every cause of the label
};

/// Draws rows from a structural causal model of who repays a loan. N is standard normal, draws are independent, causes
/// come first; `bias` is the strength of the planted bias.
///
///     group       b with probability 0.4, else a; sensitive, also a feature
///     skill       N
///     experience  exp(1.5 + 0.6 n), n = N
///     education   none, school, college, degree: 0.5 skill + 0.87 N cut at -0.8, 0.2, 1
///     sector      farm, trade, office with probability 0.3, 0.4, 0.3
///     wealth      0.8 N + 0.3 skill - 0.8 bias [group = b]; a proxy of the group
///     district    five levels of u^(1 + bias) for b, of 1 - u^(1 + bias) for a, u uniform; a proxy of the group only
///     skill_test  skill + 0.35 N; redundant
///     tenure      0.8 experience exp(0.25 N); redundant
///     savings     wealth + 0.35 N; redundant
///     noise_1     N; noise_2: p, q, r, s with equal probability
///     repaid      yes with probability sigmoid(1.5 m - bias [group = b] + 0.3)
///
/// with m = 0.9 s skill + 0.7 n + education + sector + 0.6 wealth + 0.5 tanh(skill n), where s is 0.5, 1, 1.5 and
/// sector -0.3, 0, 0.3 by sector, education -0.6, -0.2, 0.2, 0.6. The label is unfair to group b twice, directly and
/// through wealth; leaving the group out does not help, as wealth, savings and district still tell it. No model can be
/// right more often than about 82% of the time (bias 1).
SyntheticTable generate_synthetic(const SyntheticSettings& settings);

}  // namespace amend
