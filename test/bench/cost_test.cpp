// The formulas of bench/cost.hpp against small cases counted by hand, edge by edge and row by row.
#include "bench/cost.hpp"

#include <catch2/catch.hpp>

using namespace amend::bench;

namespace {

/// Two networks 3-2-2: 5 neurons above the inputs... 7 nodes, 2 of them hidden, 6 + 4 edges each.
const BatchSize kSmall = batch_size({3, 2, 2}, 2);

}  // namespace

TEST_CASE("a batch's sizes are counted", "[bench]") {
  CHECK(kSmall.networks == 2);
  CHECK(kSmall.nodes == 14);
  CHECK(kSmall.edges == 20);
  CHECK(kSmall.first_edges == 12);
  CHECK(kSmall.hidden == 4);
  CHECK(kSmall.inputs == 3);
  CHECK(kSmall.classes == 2);
  // The workload of docs/benchmarks.md: 104 * 32 + 32 * 16 + 16 * 2.
  CHECK(batch_size({104, 32, 16, 2}, 1).edges == 3872);
}

TEST_CASE("costs are those counted by hand", "[bench]") {
  SECTION("edge_update") {
    // D = 4. Every edge: two products of 4 x 4, 16 multiply-adds each.
    CHECK(edge_update_forward_cost(kSmall, 4).operations == 20 * 2 * 16 * 2);
    // Read and written edge states 2 * 20 * 4; projections 14 * 16 read, aggregates 14 * 8 written; modulation 2 * 12;
    // two matrices of 16.
    CHECK(edge_update_forward_cost(kSmall, 4).bytes == 4 * (160 + 224 + 112 + 24 + 32));
    CHECK(edge_update_forward_cost(kSmall, 4, 2).bytes == 2 * 160 + 4 * (224 + 112 + 24 + 32));
    // Six products an edge. Edge states: e, grad e', grad e. Nodes: projection read, its gradient written, gradient of
    // the aggregates read.
    CHECK(edge_update_backward_cost(kSmall, 4).operations == 20 * 5 * 16 * 2);
    CHECK(edge_update_backward_cost(kSmall, 4).bytes == 4 * (240 + 14 * (16 + 16 + 8) + 2 * 24 + 2 * 32));
  }
  SECTION("node_update") {
    // H = 4, D = 4: 4 + 8 + 4 = 16 columns, the last 4 of which a network shares, 8 hidden units, 4 outputs.
    CHECK(node_update_forward_cost(kSmall, 4, 4).operations == 14 * 2 * (8 * (4 + 8) + 8 * 4) + 2 * 2 * 8 * 4);
    CHECK(node_update_forward_cost(kSmall, 4, 4).bytes == 4 * (14 * (4 + 8 + 4) + 2 * (4 + 4) + 8 * 16 + 4 * 8));
  }
  SECTION("message layers on chip") {
    // D = H = 4, two layers. Edge states once, 2 * 20 * 4; nodes 2 * 14 * 4; the condition 2 * 4; a layer: 12 + 4
    // numbers a network, and parameters: projection 16 x 4, two matrices of 16, 8 x 16 and 4 x 8.
    const EditorSize two{.d = 4, .h = 4, .messages = 2};
    CHECK(message_layers_cost(kSmall, two).bytes == 4 * (160 + 112 + 8 + 2 * (2 * 16 + 64 + 32 + 128 + 32)));
    CHECK(message_layers_cost(kSmall, two, 2).bytes == message_layers_cost(kSmall, two).bytes - 2 * 160);
    CHECK(message_layers_cost(kSmall, two).operations == 2 * message_layer_cost(kSmall, two).operations);
  }
  SECTION("linear") {
    CHECK(linear_cost(5, 3, 2).operations == 2 * 5 * 3 * 2);
    CHECK(linear_cost(5, 3, 2).bytes == 4 * (15 + 10 + 6));
  }
  SECTION("edge_embed") {
    // 15 features times 4 channels; two numbers of an edge are read, 4 written.
    CHECK(edge_embed_forward_cost(kSmall, 4).operations == 20 * 2 * 15 * 4);
    CHECK(edge_embed_forward_cost(kSmall, 4).bytes == 4 * (20 * (2 + 4) + 15 * 4));
  }
  SECTION("edge_embed_update") {
    // z and e of 15 features, and G's product. Two numbers of an edge are read in place of its state.
    CHECK(edge_embed_update_forward_cost(kSmall, 4).operations == 20 * 2 * (2 * 15 * 4 + 4 * 4));
    CHECK(edge_embed_update_backward_cost(kSmall, 4).operations == 20 * 2 * (3 * 15 * 4 + 2 * 4 * 4));
    CHECK(edge_embed_update_forward_cost(kSmall, 4).bytes ==
          edge_update_forward_cost(kSmall, 4).bytes + 4 * (20 * (2 - 4) + 15 * 4));
    CHECK(edge_embed_update_backward_cost(kSmall, 4).bytes ==
          edge_update_backward_cost(kSmall, 4).bytes + 4 * (20 * (2 - 2 * 4) + 30 * 4));
    const EditorSize one{.d = 4, .h = 6, .messages = 1};
    CHECK(message_layer_cost(kSmall, one, true).operations - message_layer_cost(kSmall, one).operations ==
          20 * 2 * (2 * 15 * 4 - 4 * 4));
  }
  SECTION("edit_head") {
    // 4 + 3 columns, 5 hidden units, a second layer of 5, 3 outputs.
    CHECK(edit_head_forward_cost(kSmall, 4, 3, 5, 3, true).operations == 20 * 2 * (5 * 4 + 5 * 3 + 5 * 5 + 5 * 3));
    CHECK(edit_head_forward_cost(kSmall, 4, 0, 5, 2, false).operations == 20 * 2 * (5 * 4 + 5 * 2));
    CHECK(edit_head_forward_cost(kSmall, 4, 3, 5, 3, true).bytes == 4 * (20 * (4 + 3 + 3) + 14 * 10));
    // Of the 3 columns one number is read.
    CHECK(edit_head_forward_cost(kSmall, 4, 3, 5, 3, true, 2).bytes == 4 * (20 * (4 + 1 + 3) + 14 * 10));
  }
  SECTION("subject networks") {
    // 6 rows: each passes every edge once forward; backward each edge gets a gradient, and those of the second block
    // pass an error signal on.
    CHECK(subject_forward_cost(kSmall, 6, false).operations == 6 * 2 * 20);
    CHECK(subject_backward_cost(kSmall, 6).operations == 6 * 2 * (20 + 8));
    CHECK(subject_forward_cost(kSmall, 6, false).bytes == 4 * (20 + 6 * (3 + 2 * 2)));
    CHECK(subject_forward_cost(kSmall, 6, true).bytes == 4 * (20 + 6 * (3 + 2 * 2 + 2 * 4)));
    CHECK(subject_backward_cost(kSmall, 6).bytes == 4 * (60 + 6 * (3 + 4 + 8)));
    // The signal through the second block once, then Fisher information and one gradient an edge.
    CHECK(probe_cost(kSmall, 6, 1).operations == 6 * 2 * (8 + 20 + 20));
    CHECK(probe_cost(kSmall, 6, 0).operations == 6 * 2 * (8 + 20));
    // Of the 12 edges from inputs a row needs a third where two inputs of three are zero.
    BatchSize sparse = kSmall;
    sparse.set = 1.0 / 3;
    CHECK(subject_forward_cost(sparse, 6, false).operations == Approx(6 * 2 * (8 + 4)));
    CHECK(subject_backward_cost(sparse, 6).operations == Approx(6 * 2 * (8 + 8 + 4)));
    CHECK(probe_cost(sparse, 6, 1).operations == Approx(6 * 2 * (8 + 2 * (8 + 4))));
    CHECK(probe_cost(kSmall, 6, 1).bytes == 4 * (20 * 3 + 6 * (3 + 2 * 4 + 8)));
  }
  SECTION("what moves memory only") {
    CHECK(divergence_forward_cost(kSmall, 6).bytes == 4 * (2 * 24 + 2));
    CHECK(divergence_backward_cost(kSmall, 6).bytes == 4 * (4 * 24 + 2));
    CHECK(gate_forward_cost(kSmall).bytes == 4 * (20 + 20 + 4));
    CHECK(adamw_cost(10).bytes == 360);
  }
}

TEST_CASE("the cost of a whole is that of its parts", "[bench]") {
  const EditorSize size{.d = 4, .h = 4, .refine = 5, .messages = 1, .passes = 2};
  // Products a node: embedding 16 x 4; layer: projection 4 x 16, MLP 8 x 12 and 4 x 8; heads 4 x 8 and 4 x 4;
  // refinement: projection (4 + 10) x 10 and head (4 + 10) x 5. An edge: embedding and z 2 x 15 x 4, G 16, head 4 x 4
  // and 2 x 4, refinement 5 x (4 + 9), 5 x 5 and 3 x 5.
  const double node = 64 + (64 + 96 + 32) + 32 + 16 + 140 + 70, edge = 120 + 16 + 16 + 8 + 65 + 25 + 15;
  const double editor = 2 * (14 * node + 20 * edge + 2 * 8 * 4);  // the MLP reads 4 of a network
  CHECK(editor_forward_cost(kSmall, size).operations == Approx(editor));
  // Two forward passes and two probes over 6 rows.
  CHECK(edit_cost(kSmall, size, 6).operations == Approx(editor + 12 * (20 + 28) + 12 * (20 + 48)));
  // Originals twice, each pass of the loss forward and backward, one probe.
  CHECK(training_step_cost(kSmall, size, 6, 6).operations ==
        Approx(3 * editor + 12 * (20 + 20 + 2 * (20 + 28) + 20 + 48)));
  // With 5 rows in the probe and the gradients of two objectives; the first probe of an edit has one of them.
  CHECK(training_step_cost(kSmall, size, 6, 5, 2).operations ==
        Approx(3 * editor + 12 * (20 + 2 * (20 + 28)) + 10 * (20 + 20 + 68)));
  CHECK(edit_cost(kSmall, size, 6, 2).operations == Approx(editor + 12 * (20 + 48) + 12 * (20 + 68)));
  CHECK(population_step_cost(kSmall, 6).operations == 12 * (20 + 28));
  // Biases of hidden and output neurons are parameters too: 20 + 2 * 4.
  CHECK(population_step_cost(kSmall, 6).bytes ==
        subject_forward_cost(kSmall, 6, true).bytes + subject_backward_cost(kSmall, 6).bytes + 36 * 28);
}
