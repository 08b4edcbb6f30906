#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "metanet/data/dataset.hpp"
#include "metanet/data/population.hpp"
#include "metanet/train/editor_data.hpp"
#include "metanet/train/trained_editor.hpp"
#include "test/support/random_networks.hpp"

namespace amend::test {

/// Five features, seven inputs: a, b, level (three levels), c, d; the label depends on a, b, level and the group.
/// Sensitive attributes: `group` (two groups, known from d) and `region` (three).
Dataset small_dataset(std::int64_t rows = 300);

/// Three features of the same people, six inputs: level, b, lower (two levels: whether c is below 0). The sensitive
/// attribute is `region` alone.
Dataset other_dataset(std::int64_t rows = 300);

/// Networks of mixed shapes and activations, for `small_dataset` unless `inputs` is another number.
std::vector<SubjectNetwork> mixed_networks(int count, std::uint64_t seed = 1, int inputs = 7);

/// A population of `count` networks, a third of them for validation.
Population small_population(const Dataset& dataset, int count);

/// Requirements of an editor, message layers and passes; small widths.
struct EditorCase {
  std::vector<std::string> requirements;
  int messages = 1;
  int passes = 1;
  int edge_width = 8;
  bool input_embedding = true;
  std::string gate = "straight_through";
  std::string editor;  // more keys of the section `editor`, each after a comma
  std::string more;    // lines at the end of the document, of its section `training`
};

/// Sets of requirements that use every kind of gate, alone and together.
inline const std::vector<std::vector<std::string>> kRequirementSets = {
    {"pruning"},
    {"data_minimisation"},
    {"equalised_odds"},
    {"pruning", "neurons", "data_minimisation", "demographic_parity"}};

EditorConfig small_config(const EditorCase& which);
/// An editor with no head at zero, unless `deviation` is.
TrainedEditor small_editor(const EditorCase& which, const Dataset& dataset, DType dtype, double deviation = 0.1);

/// Weights of requirements for `networks` networks, all of them in force, different for every network, and mild: gates
/// of an editor that has not learned add up.
std::vector<double> spread_lambda(const TrainedEditor& trained, std::size_t networks);

/// What an editor made of a batch.
struct EditRun {
  Tensor weight, bias;            // of the last pass
  Tensor grad_weight, grad_bias;  // of the loss by them
  Tensor grad;                    // of the loss by the parameters
  double loss = 0.0;
};

struct EditRunOptions {
  bool training = false;                                // stochastic gates
  bool gradients = false;                               // otherwise the three gradients are absent
  Scalarisation scalarisation = Scalarisation::linear;  // of the divergence and the requirements
  std::uint32_t probe_draw = 1;                         // which rows the probes see
  bool folds = true;                                    // off: mean activations of 0 are folded into the biases
};

/// Runs probe, editor and loss as in training, in the editor's type: the sum over networks of divergence and weighted
/// requirements after every pass (.3 times that of the earlier ones) and of the last pass' barrier. With neither
/// training nor gradients it is an edit, of which only the last pass is there.
EditRun run_editor(const TrainedEditor& trained, const Dataset& dataset, const std::vector<SubjectNetwork>& networks,
                   const std::vector<double>& lambda, const EditRunOptions& options = {});

}  // namespace amend::test
