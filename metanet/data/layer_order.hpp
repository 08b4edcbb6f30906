#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace amend {

/// A linear layer of which only name and shape are known.
struct NamedLayer {
  std::string name;
  std::int64_t inputs = 0, outputs = 0;
};

/// Negative, zero or positive as `left` comes before, with or after `right` when both have the same text around their
/// numbers and the numbers are compared by value: `net.2` before `net.10`. Zero for names that differ in their text.
int compare_numbered(const std::string& left, const std::string& right);

/// The orders in which data can pass all `layers`: outputs of each are inputs of the next, and names that differ only
/// in numbers (`compare_numbered`) are in the order of these. Gives at most two orders, of indices into `layers`: one
/// means that the order is known, none and two that it is not. A search that grows too long counts as two. Recursion is
/// as deep as there are layers.
std::vector<std::vector<std::size_t>> possible_layer_orders(const std::vector<NamedLayer>& layers);

}  // namespace amend
