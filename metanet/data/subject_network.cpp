#include "metanet/data/subject_network.hpp"

#include <array>
#include <cmath>

#include "engine/error.hpp"

namespace amend {
namespace {

constexpr std::array<Activation, 4> kActivations{Activation::relu, Activation::tanh, Activation::silu,
                                                 Activation::sigmoid};

void validate_numbers(const std::vector<float>& values, std::int64_t expected, const char* kind,
                      const std::string& where) {
  if (static_cast<std::int64_t>(values.size()) != expected)
    fail_input(where, "expected ", expected, " ", kind, " for its widths, got ", values.size());
  for (std::size_t i = 0; i < values.size(); ++i)
    if (!std::isfinite(values[i])) fail_input(where, "expected finite ", kind, ", got ", values[i], " at ", i);
}

}  // namespace

std::string to_string(Activation activation) {
  switch (activation) {
    case Activation::relu: return "relu";
    case Activation::tanh: return "tanh";
    case Activation::silu: return "silu";
    case Activation::sigmoid: return "sigmoid";
  }
  fail("activation", "expected one of 0 .. 3, got ", static_cast<int>(activation));
}

Activation parse_activation(const std::string& text, const std::string& where) {
  for (const Activation activation : kActivations)
    if (text == to_string(activation)) return activation;
  fail_input(where, "expected an activation (relu, tanh, silu, sigmoid), got '", text, "'");
}

std::int64_t SubjectNetwork::weight_count() const { return weight_offset(layers()); }
std::int64_t SubjectNetwork::bias_count() const { return bias_offset(layers()); }

std::int64_t SubjectNetwork::weight_offset(int layer) const {
  std::int64_t offset = 0;
  for (int before = 0; before < layer; ++before) offset += std::int64_t{widths[before]} * widths[before + 1];
  return offset;
}

std::int64_t SubjectNetwork::bias_offset(int layer) const {
  std::int64_t offset = 0;
  for (int before = 0; before < layer; ++before) offset += widths[before + 1];
  return offset;
}

void validate(const SubjectNetwork& network, const std::string& where) {
  if (network.widths.size() < 2)
    fail_input(where, "expected at least two widths (inputs, outputs), got ", network.widths.size());
  for (const int width : network.widths)
    if (width < 1) fail_input(where, "expected positive widths, got ", width);
  validate_numbers(network.weights, network.weight_count(), "weights", where);
  validate_numbers(network.biases, network.bias_count(), "biases", where);
}

}  // namespace amend
