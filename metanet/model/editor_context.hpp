#pragma once

// What the parts of the editor hand on to each other.

#include "autograd/op/apply_edit.hpp"
#include "autograd/op/edit_head.hpp"
#include "autograd/op/edit_step.hpp"
#include "metanet/model/editor.hpp"

namespace amend {

/// What the passes of one run share.
struct Editor::Context {
  Tape& tape;
  const EditorInputs& in;
  const kernels::BlockTable& table;
  DType dtype;
  BatchProbe original;    // the probe of the original networks, as far as the editor reads it
  Variable condition;     // (networks, H)
  Variable node;          // (nodes, H)
  op::EdgeVariable edge;  // features; from the first message layer on, states (edges, D)
  Variable pooled;        // (networks * features, H)
  TensorView scale;       // (blocks)
  TensorView prior, neuron_prior, feature_prior;
  TensorView weight_lambda, neuron_lambda, feature_lambda;  // (networks)
  TensorView weight_noise, neuron_noise, feature_noise;
  State state;
  op::EditedNetwork edited;  // as the next pass reads it

  TensorView tensor(Shape shape) { return tape.arena().tensor(shape, dtype); }
};

}  // namespace amend
