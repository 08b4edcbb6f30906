#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace amend {

enum class Activation : std::uint8_t { relu, tanh, silu, sigmoid };

std::string to_string(Activation activation);
/// Throws InputError that lists the known names, prefixed by `where` (a file and key).
Activation parse_activation(const std::string& text, const std::string& where);

/// A trained multi-layer perceptron: hidden layers with `activation`, linear outputs (logits).
struct SubjectNetwork {
  std::string name;
  std::vector<int> widths;  // inputs, hidden ..., outputs
  Activation activation = Activation::relu;
  std::vector<float> weights;  // layer after layer, each (outputs, inputs) row-major as in PyTorch
  std::vector<float> biases;   // layer after layer
  std::string run;             // the training run it came from; snapshots of one run share it and never split up

  int layers() const { return static_cast<int>(widths.size()) - 1; }
  std::int64_t weight_count() const;
  std::int64_t bias_count() const;
  /// Offset of layer `layer` in `weights` / in `biases`.
  std::int64_t weight_offset(int layer) const;
  std::int64_t bias_offset(int layer) const;
};

/// Throws Error unless sizes agree with widths and every number is finite; the message begins with `where`.
void validate(const SubjectNetwork& network, const std::string& where);

}  // namespace amend
