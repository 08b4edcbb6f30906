#pragma once

#include <string>
#include <vector>

#include "autograd/op/apply_edit.hpp"
#include "autograd/op/edit_step.hpp"
#include "autograd/parameter_set.hpp"
#include "kernels/gate.hpp"
#include "kernels/precision.hpp"
#include "metanet/model/batch_probe.hpp"
#include "metanet/model/requirement.hpp"

namespace amend {

/// What an editor may do to a network.
enum class Edits {
  both,      // gates or scales, and residuals
  mask,      // gates and, where weights have none, scales: residuals are 0
  residual,  // residuals: every weight is open and unscaled; for requirements without gates
};

/// Sizes and switches of an editor: everything that decides which parameters it has, and how exactly it multiplies.
struct EditorShape {
  int inputs = 0, outputs = 0, features = 0;  // of the dataset: encoded columns, classes, table columns; inputs and
                                              // features are 0 without an input embedding: any number will do
  int node_width = 32;                        // H
  int edge_width = 32;                        // D
  int messages = 1;                           // K, 0 .. 6
  int passes = 3;                             // T, 1 .. 3
  int refine_width = 16;                      // of the refinement network
  bool input_embedding = true;                // a learned vector per input and output; off: statistics of the inputs
  bool probe_features = true;                 // off: the editor reads weights and condition, nothing of the data
  Edits edits = Edits::both;
  kernels::Precision precision = kernels::Precision::float32;  // of the products in message layers
  std::vector<std::string> requirements;                       // in the order of the condition

  friend bool operator==(const EditorShape&, const EditorShape&) = default;
};

/// How gates behave; not parameters, but kept with them.
struct EditorGates {
  kernels::GateKind weight = kernels::GateKind::straight_through;
  kernels::GateKind neuron = kernels::GateKind::straight_through;
  kernels::GateKind feature = kernels::GateKind::straight_through;
  double temperature = 0.5;
  double bound = 4.0;

  friend bool operator==(const EditorGates&, const EditorGates&) = default;
};

/// What an editor without an input embedding reads of every input column, on the rows of editor_train: mean, standard
/// deviation, 1 for a level of a categorical column, the correlation with the label (two classes; otherwise the
/// correlation ratio), the correlation ratio with the groups (0 without) and log10 of the inputs of its feature.
inline constexpr std::int64_t kInputStatistics = 6;
/// The parameter that reads them: (H, kInputStatistics).
inline constexpr const char* kStatisticsParameter = "input_statistics";

/// How many gates of one kind an edit is to leave open, instead of whatever lambda comes to; see kernels::GateBudget.
struct GateLimit {
  TensorView budget;   // (networks) int32; absent: none
  TensorView counted;  // one a gate, optional: where it is 0 the original has nothing to keep
};

/// A batch of networks to edit and all that is known of them.
struct EditorInputs {
  const kernels::BlockTable* table = nullptr;  // for kernels: GraphBatch::device_table
  TensorView weight;                           // (edges)
  TensorView bias;                             // (nodes)
  BatchProbe probe;                // of the original networks; its gradient, if any, is that of the groups' objectives
  const RowBatch* rows = nullptr;  // what refinement passes probe on
  TensorView original_logits;      // (networks, rows, classes) of the original networks on them
  TensorView lambda;               // (networks, requirements), 0: off
  TensorView condition;            // (networks, 2 requirements): see encode_condition
  TensorView input_feature;        // (inputs) int32
  TensorView feature_offset;       // (features + 1) int32
  TensorView covariance;           // (inputs, inputs) float64, of the data
  TensorView node_entry;           // (nodes) int32: see node_entries
  TensorView statistics;           // (inputs, kInputStatistics), and
  TensorView input_column;         // (nodes) int32, the row of a node in them, -1 for none: without an input embedding
  kernels::Segments statistic_rows;
  kernels::Segments feature_rows;  // rows of the (networks * features) feature tensors per network
  GateLimit weight_limit, neuron_limit, feature_limit;
  bool training = false;  // stochastic gates
  std::uint64_t noise_seed = 0;
  std::uint32_t noise_step = 0, noise_shard = 0;
  double feature_noise = 1.0;  // scale of the noise in the gates of features
  TensorView noise_schedule;   // (2, 2) float64, optional: noise_step and 1, noise_step and feature_noise, instead of
                               // both: for a step that is captured once and repeated
  Tape* inner = nullptr;       // for the gradients of refinement probes: on the same arena, nothing recorded
  TensorView grad;             // where gradients of the parameters are added; absent: parameters().grad()

  std::int64_t inputs() const { return input_feature.extent(0); }
  std::int64_t features() const { return feature_offset.extent(0) - 1; }
};

/// The edit after one pass.
struct EditorPass {
  op::EditedNetwork edited;
  Variable weight_share, neuron_share, feature_share;  // (networks) share of gates expected open; absent: no such gate
  Variable weight_barrier, neuron_barrier, feature_barrier;  // (networks)
  Variable feature_gate;  // (networks, features); straight-through gates get no gradient from `edited`
  TensorView beta;        // (networks, inputs, inputs), see kernels::FeatureFold
};

/// The graph metanetwork: reads networks with their probes and returns a mask and a residual for every weight in one
/// pass, refined in up to two more. Kalogeropoulos, Bouritsas, Panagakis, arXiv 2512.15469; `docs/method.md` has the
/// maths as built.
class Editor {
 public:
  Editor(EditorShape shape, EditorGates gates, Requirements requirements, DType dtype, Device device,
         std::uint64_t seed);

  /// Runs all passes and appends each to `passes`; the last is the edit, and the only one to stay when the tape is not
  /// recording on the CPU: what earlier ones no longer need is given back. The tape must be empty of gradients for this
  /// editor's parameters; `passes` is cleared first. Several threads may run one editor at once, each with its own
  /// tape.
  void run(Tape& tape, const EditorInputs& inputs, std::vector<EditorPass>& passes) const;

  const EditorShape& shape() const { return shape_; }
  /// From now on the message layers multiply in this precision.
  void set_precision(kernels::Precision precision) { shape_.precision = precision; }
  const EditorGates& gate_options() const { return gate_options_; }
  EditGates gates() const { return gates_; }
  const Requirements& requirements() const { return requirements_; }
  ParameterSet& parameters() { return parameters_; }
  const ParameterSet& parameters() const { return parameters_; }
  DType dtype() const { return parameters_.value().dtype; }
  Device device() const { return parameters_.value().device; }
  bool reads_groups() const { return reads_groups_; }

  /// Adds normal noise of this deviation to every parameter: tests of symmetries need heads that are not zero.
  void randomise(std::uint64_t seed, double deviation);

 private:
  struct LinearIndex {
    int weight, bias;
  };
  struct HeadIndex {
    LinearIndex node, condition, out;
  };
  struct MessageIndex {
    LinearIndex projection, modulation, alpha, first, second;
    int weight_c, weight_g;
  };
  struct State {
    op::EditState edge, node, feature;
  };
  struct Context;

  LinearIndex add_linear(const std::string& name, int in, int out, double gain, bool zero_weight = false);
  HeadIndex add_head(const std::string& name, int in, int hidden, int outputs);
  void declare();
  void declare_refinement();

  Variable use(Context& c, int index) const;
  op::EditState permitted(Context& c, const op::EditState& state) const;
  Variable linear(Context& c, const LinearIndex& index, Variable x, const kernels::Segments& segments) const;
  void embed(Context& c) const;
  void exchange_messages(Context& c) const;
  void first_pass(Context& c) const;
  void refine(Context& c, int pass, const EditorPass& before) const;
  Variable limited(Context& c, Variable logit, const kernels::Segments& segments, const GateLimit& limit) const;
  EditorPass build(Context& c) const;
  void keep(Context& c, EditorPass& pass, const Arena::Mark& mark) const;

  EditorShape shape_;
  EditorGates gate_options_;
  Requirements requirements_;
  EditGates gates_;
  bool reads_groups_ = false;
  int objectives_ = 1;  // gradients a refinement pass reads
  ParameterSet parameters_;

  LinearIndex condition1_{}, condition2_{}, node_embed_{}, edge_embed_{};
  int entry_embed_ = -1, statistics_embed_ = -1;
  std::vector<MessageIndex> message_;
  LinearIndex edge_projection_{}, edge_projection_condition_{};
  int edge_weight_ = -1, edge_kind_bias_ = -1, edge_out_ = -1, edge_out_bias_ = -1, edge_prior_gain_ = -1;
  HeadIndex node_head_{}, feature_head_{};
  LinearIndex feature_input_{};
  int neuron_prior_gain_ = -1, feature_prior_gain_ = -1;

  LinearIndex refine_projection_{}, refine_node_features_{}, refine_network_{}, refine_condition_{};
  int refine_edge_ = -1, refine_feature_ = -1, refine_kind_bias_ = -1, refine_mix_ = -1, refine_out_ = -1,
      refine_out_bias_ = -1;
  HeadIndex refine_node_head_{}, refine_feature_head_{};
  LinearIndex refine_node_head_features_{}, refine_feature_input_{};
  int refine_feature_prior_gain_ = -1;
};

/// The entry of the learned node embedding that each node adds: its column at inputs, its class at outputs, one for all
/// hidden neurons; with `input_embedding` off one for each kind of node. index: (nodes) int32.
void node_entries(const kernels::BlockTable& table, bool input_embedding, std::int32_t* index);

/// The input column that each node is, -1 for other nodes. column: (nodes) int32.
void input_columns(const kernels::BlockTable& table, std::int32_t* column);

}  // namespace amend
