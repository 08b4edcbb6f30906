#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "requirements/metric/interval.hpp"

namespace amend {

/// What a method asks for beside the network and the probe's rows; decides which methods are held against each other.
enum class MethodKind : std::uint8_t {
  editor,      // one or a few forward passes of an editor
  polished,    // an edit, then a few steps of fine-tuning with its zeros fixed
  one_shot,    // no training: scores, thresholds on weights or features, folding
  canonical,   // one good edited network stands in for everybody
  fine_tuned,  // gradient steps for every network
  retrained,   // from scratch for every network
  attribute,   // needs the sensitive attribute of every person when deployed
};

std::string to_string(MethodKind kind);

/// An edited network on the audit rows.
struct ComparedNetwork {
  double requirement = 0.0;          // what the table is about, smaller is better: see ComparisonTable::axis
  std::optional<double> divergence;  // mean Jensen-Shannon divergence from the original, nats; absent: randomised
  double accuracy_drop = 0.0;        // accuracy of the original minus that of the edited network, in points
};

/// A method at one setting, over all held-out networks.
struct ComparedPoint {
  std::string setting;                   // `strength 0.5`, `10% of the weights`
  double seconds = 0.0;                  // per network: the batch's time divided by its networks
  std::vector<ComparedNetwork> network;  // as ComparisonTable::network
};

/// A mean over networks with its bootstrap interval.
struct ComparedMean {
  double mean = 0.0;
  Interval interval;
};

/// Hypervolume of a network's front: the share that the front dominates of the rectangle between (0, 0) and the
/// unedited network's requirement and the loss of a useless network. Useless is a network that ignores its input, for
/// divergence, and one that loses `useless_drop` points, for accuracy. 1 is perfect.
struct ComparedVolume {
  std::vector<double> network;  // as ComparisonTable::network
  ComparedMean volume;          // over the networks
  ComparedMean editor_lead;     // of the table's first method over this one, paired over networks
  double editor_wins = 0.0;     // share of the networks where the first method's volume is larger
};

struct ComparedMethod {
  std::string name;   // as in a configuration: `obd_fold`
  std::string title;  // `OBD + fold, 3 epochs`
  MethodKind kind = MethodKind::one_shot;
  std::string tuned;  // what was chosen for it on validation networks: `learning rate 0.003`; may be empty
  std::vector<ComparedPoint> points;                // from the mildest to the strongest setting
  std::optional<ComparedVolume> divergence_volume;  // absent: a method without divergence
  ComparedVolume accuracy_volume;
};

/// How much an editor's edits are those of their networks, at one setting: mean divergences in nats on validation rows.
struct ComparedSpecificity {
  std::string setting;
  double own = 0.0;              // of the originals to their own edits
  double cross = 0.0;            // of the originals to the edits of others
  double canonical = 0.0;        // of all originals to the one of these edits that stands in best
  double among_edited = 0.0;     // of the edits to each other
  double among_originals = 0.0;  // of the originals to each other
  std::int64_t masks = 0;        // different sets of weights that are not zero
};

/// All methods for one requirement on the same held-out networks and audit rows. The first method is the editor.
struct ComparisonTable {
  std::string requirement;           // `pruning`
  std::string axis;                  // what ComparedNetwork::requirement is: `share of weights that are not zero`
  bool logarithmic = false;          // how the axis is best drawn
  std::string networks;              // which: `held-out`, `held-out, shapes not in training`, `shift: education`
  std::vector<std::string> network;  // names
  std::vector<double> unedited;      // (networks): ComparedNetwork::requirement of the originals
  std::vector<double> accuracy;      // (networks): of the originals, 0 to 1
  std::vector<double> constant_divergence;  // (networks): of a network that always gives the original's mean prediction
  std::vector<double> useless_drop;         // (networks): points lost at which a network counts as useless
  std::vector<ComparedMethod> methods;
  std::vector<ComparedSpecificity> specificity;  // of the first editor, at its settings; may be empty
};

/// Several requirements at once: means over the held-out networks on audit rows, of one way to meet them, at one vector
/// of strengths.
struct ComparedJoint {
  std::string setting;  // `pruning 0.6, equalised_odds 0.3`
  std::string method;   // `combined editor`, or the editors in their order
  double nonzero_share = 0.0, features = 0.0;
  std::optional<double> gap;  // equalised odds, sum of both gaps; absent without groups
  double divergence = 0.0, accuracy_drop = 0.0;
  /// Divergence plus every requirement times its lambda, measured on the delivered network: share of weights, share of
  /// features, sum of gaps. What all ways are asked to make small.
  ComparedMean objective;
  ComparedMean lead;     // objective of this way minus that of the first at the setting: above 0 the first is better
  double seconds = 0.0;  // per network
};

/// What `amend compare` found.
struct Comparison {
  std::string title;  // of the configuration
  std::string dataset;
  std::int64_t rows = 0;  // of the audit split
  std::string version, hardware, command;
  std::vector<ComparisonTable> tables;
  std::vector<ComparedJoint> joint;  // setting by setting; empty when no joint comparison was asked for
};

nlohmann::ordered_json to_json(const Comparison& comparison);
/// Reads what `to_json` wrote. Throws InputError that names `file` and the key that is missing or wrong.
Comparison comparison_from_json(const nlohmann::json& json, const std::string& file);

}  // namespace amend
