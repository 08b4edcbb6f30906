#include "metanet/data/layer_order.hpp"

#include <algorithm>
#include <string_view>

namespace amend {
namespace {

bool is_digit(char letter) { return letter >= '0' && letter <= '9'; }

/// Takes a run of digits off the front of `text`, without its leading zeros.
std::string_view take_number(std::string_view& text) {
  const std::size_t end = std::min(
      text.size(), static_cast<std::size_t>(std::find_if_not(text.begin(), text.end(), is_digit) - text.begin()));
  std::string_view number = text.substr(0, end);
  text.remove_prefix(end);
  number.remove_prefix(std::min(number.size(), number.find_first_not_of('0')));
  return number;
}

/// Depth-first over all orders, until a second one is found.
class OrderSearch {
 public:
  explicit OrderSearch(const std::vector<NamedLayer>& layers)
      : layers_(layers), earlier_(layers.size()), placed_(layers.size(), false) {
    for (std::size_t layer = 0; layer < layers.size(); ++layer)
      for (std::size_t other = 0; other < layers.size(); ++other)
        if (compare_numbered(layers[other].name, layers[layer].name) < 0) earlier_[layer].push_back(other);
  }

  std::vector<std::vector<std::size_t>> run() {
    extend();
    if (steps_ > kMostSteps) orders_.resize(2);
    return std::move(orders_);
  }

 private:
  static constexpr int kMostSteps = 1'000'000;

  bool may_follow(std::size_t candidate) {
    ++steps_;
    if (placed_[candidate]) return false;
    if (!order_.empty() && layers_[order_.back()].outputs != layers_[candidate].inputs) return false;
    return std::all_of(earlier_[candidate].begin(), earlier_[candidate].end(),
                       [&](std::size_t other) { return placed_[other]; });
  }

  void extend() {
    if (order_.size() == layers_.size()) {
      orders_.push_back(order_);
      return;
    }
    for (std::size_t next = 0; next < layers_.size(); ++next) {
      if (orders_.size() == 2 || steps_ > kMostSteps) return;
      if (!may_follow(next)) continue;
      placed_[next] = true;
      order_.push_back(next);
      extend();
      order_.pop_back();
      placed_[next] = false;
    }
  }

  const std::vector<NamedLayer>& layers_;
  std::vector<std::vector<std::size_t>> earlier_;  // per layer: those whose number is smaller
  std::vector<bool> placed_;
  std::vector<std::size_t> order_;
  std::vector<std::vector<std::size_t>> orders_;
  int steps_ = 0;
};

}  // namespace

int compare_numbered(const std::string& left, const std::string& right) {
  std::string_view rest_left = left, rest_right = right;
  int order = 0;
  while (!rest_left.empty() && !rest_right.empty()) {
    if (is_digit(rest_left.front()) && is_digit(rest_right.front())) {
      const std::string_view number_left = take_number(rest_left), number_right = take_number(rest_right);
      if (order != 0) continue;
      if (number_left.size() != number_right.size())
        order = number_left.size() < number_right.size() ? -1 : 1;
      else
        order = number_left.compare(number_right);
    } else {
      if (rest_left.front() != rest_right.front()) return 0;
      rest_left.remove_prefix(1);
      rest_right.remove_prefix(1);
    }
  }
  return rest_left.empty() && rest_right.empty() ? order : 0;
}

std::vector<std::vector<std::size_t>> possible_layer_orders(const std::vector<NamedLayer>& layers) {
  return OrderSearch(layers).run();
}

}  // namespace amend
