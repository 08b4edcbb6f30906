#pragma once

// What work must cost: bytes that cross the memory at least once, and operations of its products (a multiply-add is
// two; element-wise arithmetic is not counted, nor what a cache may serve a second time). Elements of four bytes. These
// are floors to hold a measurement against, not what a kernel does: a kernel may read a tensor twice.

#include <cstdint>
#include <string>
#include <vector>

namespace amend::bench {

struct Cost {
  double bytes = 0.0, operations = 0.0;
  std::string formula;  // in the letters of docs/benchmarks.md

  /// Parts that run one after the other.
  Cost& operator+=(const Cost& part) {
    bytes += part.bytes;
    operations += part.operations;
    return *this;
  }
};

/// Sizes of a batch of networks of one shape. The first block's edges are apart: no error signal passes through them,
/// and inputs that are zero need no product.
struct BatchSize {
  double networks = 0, nodes = 0, edges = 0, hidden = 0, first_edges = 0;
  double inputs = 0, classes = 0;
  double set = 1;  // share of the inputs of a row that are not zero

  /// Edges with a product for a row.
  double used_edges() const { return edges - (1 - set) * first_edges; }
};

inline BatchSize batch_size(const std::vector<int>& widths, std::int64_t networks, double set = 1) {
  BatchSize size;
  size.set = set;
  size.networks = static_cast<double>(networks);
  for (const int width : widths) size.nodes += size.networks * width;
  for (std::size_t l = 0; l + 1 < widths.size(); ++l) {
    const double edges = size.networks * widths[l] * widths[l + 1];
    size.edges += edges;
    if (l == 0) size.first_edges = edges;
  }
  size.inputs = widths.front();
  size.classes = widths.back();
  size.hidden = size.nodes - size.networks * (size.inputs + size.classes);
  return size;
}

/// d: width of an edge state; state: bytes of one of its elements, 2 when states are stored as bf16.
inline Cost edge_update_forward_cost(const BatchSize& b, double d, double state = 4) {
  return {2 * state * d * b.edges + 4 * (6 * d * b.nodes + 3 * d * b.networks + 2 * d * d), 4 * d * d * b.edges,
          state == 4 ? "bytes 4 (2 D E + 6 D N + 3 D B + 2 D^2), operations 4 D^2 E"
                     : "bytes 4 D E + 4 (6 D N + 3 D B + 2 D^2), operations 4 D^2 E"};
}

/// Reads e and the gradient of e', writes the gradient of e; the projection is read and its gradient written.
inline Cost edge_update_backward_cost(const BatchSize& b, double d) {
  return {4 * (3 * d * b.edges + 10 * d * b.nodes + 6 * d * b.networks + 4 * d * d), 10 * d * d * b.edges,
          "bytes 4 (3 D E + 10 D N + 6 D B + 4 D^2), operations 10 D^2 E"};
}

/// h: node width; the hidden layer is 2 H wide and reads H + 2 D + H, of which the last H are the same for a network.
inline Cost node_update_forward_cost(const BatchSize& b, double h, double d) {
  return {4 * ((2 * h + 2 * d) * b.nodes + 2 * h * b.networks + 2 * h * (3 * h + 2 * d)),
          4 * h * (2 * h + 2 * d) * b.nodes + 4 * h * h * b.networks,
          "bytes 4 ((2 H + 2 D) N + 2 H B + 2 H (3 H + 2 D)), operations 4 H (2 H + 2 D) N + 4 H^2 B"};
}

/// y = x W^T.
inline Cost linear_cost(double rows, double in, double out) {
  return {4 * (rows * (in + out) + in * out), 2 * rows * in * out, "bytes 4 (R (I + O) + I O), operations 2 R I O"};
}

/// States of width d from the 15 features of a weight, which are formed from two numbers of its own.
inline Cost edge_embed_forward_cost(const BatchSize& b, double d) {
  return {4 * ((2 + d) * b.edges + 15 * d), 2 * 15 * d * b.edges, "bytes 4 ((2 + D) E + 15 D), operations 30 D E"};
}

/// The first message layer on states that are formed from features, of which C W makes z: two products with the 15
/// features and one with G.
inline Cost edge_embed_update_forward_cost(const BatchSize& b, double d) {
  return {4 * ((2 + d) * b.edges + 6 * d * b.nodes + 3 * d * b.networks + 2 * d * d + 15 * d),
          (2 * d * d + 60 * d) * b.edges,
          "bytes 4 ((2 + D) E + 6 D N + 3 D B + 2 D^2 + 15 D), operations (2 D^2 + 60 D) E"};
}

/// Nobody needs the gradient of the states; three products with the features, two with G and for it.
inline Cost edge_embed_update_backward_cost(const BatchSize& b, double d) {
  return {4 * ((2 + d) * b.edges + 10 * d * b.nodes + 6 * d * b.networks + 4 * d * d + 30 * d),
          (4 * d * d + 90 * d) * b.edges,
          "bytes 4 ((2 + D) E + 10 D N + 6 D B + 4 D^2 + 30 D), operations (4 D^2 + 90 D) E"};
}

/// d, d2: widths of the head's inputs; h: hidden width; mix: whether there is a second hidden layer; formed: numbers
/// fewer that are read of an edge where inputs are features, which the head forms.
inline Cost edit_head_forward_cost(const BatchSize& b, double d, double d2, double h, double outputs, bool mix,
                                   double formed = 0) {
  return {4 * ((d + d2 - formed + outputs) * b.edges + 2 * h * b.nodes),
          2 * h * (d + d2 + (mix ? h : 0) + outputs) * b.edges,
          "bytes 4 ((D + D2 + O) E + 2 H N), operations 2 H (D + D2 + H [mix] + O) E"};
}

/// `kept`: hidden activations and slopes are written, for a backward pass.
inline Cost subject_forward_cost(const BatchSize& b, double rows, bool kept) {
  return {4 * (b.edges + rows * (b.inputs + b.classes * b.networks + (kept ? 2 : 0) * b.hidden)),
          2 * rows * b.used_edges(), "bytes 4 (E + R (I + C B + 2 hidden [kept])), operations 2 R E'"};
}

inline Cost subject_backward_cost(const BatchSize& b, double rows) {
  return {4 * (3 * b.edges + rows * (b.inputs + b.classes * b.networks + 2 * b.hidden)),
          2 * rows * (b.used_edges() + b.edges - b.first_edges),
          "bytes 4 (3 E + R (I + C B + 2 hidden)), operations 2 R (E' + E - E1)"};
}

/// Of activations that are there. With two classes the error signals of Fisher information and of all objectives are
/// multiples of one another: one product an edge for all of them, and one for each result.
inline Cost probe_cost(const BatchSize& b, double rows, double objectives) {
  return {
      4 * ((2 + objectives) * b.edges + rows * (b.inputs + (1 + objectives) * b.classes * b.networks + 2 * b.hidden)),
      2 * rows * (b.edges - b.first_edges + (1 + objectives) * b.used_edges()),
      "bytes 4 ((2 + o) E + R (I + (1 + o) C B + 2 hidden)), operations 2 R (E - E1 + (1 + o) E')"};
}

inline Cost divergence_forward_cost(const BatchSize& b, double rows) {
  return {4 * (2 * rows * b.classes * b.networks + b.networks), 0, "bytes 4 (2 R C B + B)"};
}
/// Reads both logits and reads and writes the gradient.
inline Cost divergence_backward_cost(const BatchSize& b, double rows) {
  return {4 * (4 * rows * b.classes * b.networks + b.networks), 0, "bytes 4 (4 R C B + B)"};
}

inline Cost gate_forward_cost(const BatchSize& b) {
  return {4 * (2 * b.edges + 2 * b.networks), 0, "bytes 4 (2 E + 2 B)"};
}

/// Value, both moments and average are read and written, the gradient is read.
inline Cost adamw_cost(double parameters) { return {4 * 9 * parameters, 0, "bytes 36 P"}; }

/// Forward, both products backward, and the optimiser, of every network for `rows` rows.
inline Cost population_step_cost(const BatchSize& b, double rows) {
  Cost cost{0, 0, "subject_forward + subject_backward + adamw"};
  cost += subject_forward_cost(b, rows, true);
  cost += subject_backward_cost(b, rows);
  cost += adamw_cost(b.edges + b.nodes - b.inputs * b.networks);
  return cost;
}

/// Sizes of an editor with weight gates.
struct EditorSize {
  double d = 32, h = 32;  // edge and node width
  double refine = 16;     // width of the refinement network
  int messages = 1, passes = 3;
};

/// Features of an edge and a node at first and in refinement passes with one objective: kernels/edit_features.hpp.
/// Those of an edge are formed from 2 and 7 numbers of its own.
inline constexpr double kFirstEdge = 15, kFirstNode = 16, kRefineEdge = 9, kRefineNode = 10;
inline constexpr double kFirstFormed = kFirstEdge - 2, kRefineFormed = kRefineEdge - 7;

/// A message layer: projection, edge_update (the first: with edge_embed), node_update.
inline Cost message_layer_cost(const BatchSize& b, const EditorSize& e, bool embeds = false) {
  Cost cost{0, 0, "linear N (H -> 4 D) + edge_update + node_update"};
  cost += linear_cost(b.nodes, e.h, 4 * e.d);
  cost += embeds ? edge_embed_update_forward_cost(b, e.d) : edge_update_forward_cost(b, e.d);
  cost += node_update_forward_cost(b, e.h, e.d);
  return cost;
}

/// K message layers whose states stay on chip: every state is read and written once, whatever K; operations as layer by
/// layer. state: as in edge_update_forward_cost.
inline Cost message_layers_cost(const BatchSize& b, const EditorSize& e, double state = 4) {
  Cost cost;
  for (int k = 0; k < e.messages; ++k) cost += message_layer_cost(b, e);
  const double layer = 4 * e.d * e.h + 2 * e.d * e.d + 2 * e.h * (2 * e.h + 2 * e.d) + 2 * e.h * e.h;  // parameters
  cost.bytes = 2 * state * e.d * b.edges +
               4 * (2 * e.h * b.nodes + e.h * b.networks + e.messages * ((3 * e.d + e.h) * b.networks + layer));
  cost.formula = "bytes 2 s D E + 4 (2 H N + H B + K ((3 D + H) B + 4 D H + 2 D^2 + 2 H (2 H + 2 D) + 2 H^2))";
  return cost;
}

/// The editor without probes: embeddings, messages, heads and refinement networks.
inline Cost editor_forward_cost(const BatchSize& b, const EditorSize& e) {
  const double read = e.messages > 0 ? e.d : kFirstEdge, formed = e.messages > 0 ? 0 : kFirstFormed;
  Cost cost;
  cost += linear_cost(b.nodes, kFirstNode, e.h);
  for (int k = 0; k < e.messages; ++k) cost += message_layer_cost(b, e, k == 0);
  cost += linear_cost(b.nodes, e.h, 2 * e.h);
  cost += edit_head_forward_cost(b, read, 0, e.h, 2, false, formed);
  cost += linear_cost(b.nodes, e.h, e.h);
  for (int t = 1; t < e.passes; ++t) {
    cost += linear_cost(b.nodes, e.h, 3 * e.refine);
    cost += linear_cost(b.nodes, kRefineNode, 3 * e.refine);
    cost += edit_head_forward_cost(b, read, kRefineEdge, e.refine, 3, true, formed + kRefineFormed);
  }
  cost.formula = "embeddings + K message layers + heads + (T - 1) refinement heads";
  return cost;
}

/// Weights to edited weights: a probe before every pass, all but the first with the divergence's gradient.
/// objectives: gradients of a refinement probe, the divergence's and, for groups, the requirements'; the first probe
/// has all but the divergence's.
inline Cost edit_cost(const BatchSize& b, const EditorSize& e, double rows, double objectives = 1) {
  Cost cost = editor_forward_cost(b, e);
  for (int t = 0; t < e.passes; ++t) {
    cost += subject_forward_cost(b, rows, true);
    cost += probe_cost(b, rows, t > 0 ? objectives : objectives - 1);
  }
  cost.formula = "editor + T (subject_forward + probe)";
  return cost;
}

/// Forward and backward pass of the editor's loss: backward costs twice the forward's products, and once more what is
/// recomputed. The first probe is cached; `rows` rows for the loss, `probe_rows` for the probes in between.
inline Cost training_step_cost(const BatchSize& b, const EditorSize& e, double rows, double probe_rows,
                               double objectives = 1) {
  Cost cost;
  const Cost forward = editor_forward_cost(b, e);
  for (int k = 0; k < 3; ++k) cost += forward;
  cost += subject_forward_cost(b, rows, false);  // original logits of the loss
  if (e.passes > 1) cost += subject_forward_cost(b, probe_rows, false);
  for (int t = 0; t < e.passes; ++t) {
    cost += subject_forward_cost(b, rows, true);
    cost += subject_backward_cost(b, rows);
    if (t == 0) continue;
    cost += subject_forward_cost(b, probe_rows, true);
    cost += probe_cost(b, probe_rows, objectives);
  }
  cost.formula =
      "3 editor + T (subject_forward + subject_backward) + (T - 1) (subject_forward + probe) + original logits";
  return cost;
}

}  // namespace amend::bench
