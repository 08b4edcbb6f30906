#include "requirements/comparison/comparison_check.hpp"

#include <cmath>
#include <utility>

#include "engine/error.hpp"

namespace amend {
namespace {

/// What is checked belongs to `where`, a table or a method, which messages name.
class Checker {
 public:
  Checker(std::string_view operation, std::string where) : operation_(operation), where_(std::move(where)) {}

  void finite(double value, const char* what) const {
    check(std::isfinite(value), operation_, where_, ": expected a finite number as ", what, ", got ", value);
  }
  void length(std::size_t got, std::size_t networks, const char* what) const {
    check(got == networks, operation_, where_, ": expected ", networks, " values of ", what, ", one a network, got ",
          got);
  }
  void numbers(const std::vector<double>& values, std::size_t networks, const char* what) const {
    length(values.size(), networks, what);
    for (double value : values) finite(value, what);
  }
  void mean(const ComparedMean& value, const char* what) const {
    for (double number : {value.mean, value.interval.low, value.interval.high}) finite(number, what);
  }
  void volume(const ComparedVolume& value, std::size_t networks) const {
    numbers(value.network, networks, "network");
    mean(value.volume, "volume");
    mean(value.editor_lead, "editor_lead");
    finite(value.editor_wins, "editor_wins");
  }

 private:
  std::string_view operation_;
  std::string where_;
};

}  // namespace

void check_comparison(const Comparison& comparison, std::string_view operation) {
  for (const ComparedJoint& row : comparison.joint) {
    const Checker own(operation, "joint, " + row.method);
    for (const double value :
         {row.nonzero_share, row.features, row.gap.value_or(0.0), row.divergence, row.accuracy_drop, row.seconds})
      own.finite(value, "a measure");
    own.mean(row.objective, "objective");
    own.mean(row.lead, "lead");
  }
  for (const ComparisonTable& table : comparison.tables) {
    const std::size_t networks = table.network.size();
    const Checker whole(operation, table.requirement);
    whole.numbers(table.unedited, networks, "unedited");
    whole.numbers(table.accuracy, networks, "accuracy");
    whole.numbers(table.constant_divergence, networks, "constant_divergence");
    whole.numbers(table.useless_drop, networks, "useless_drop");
    for (const ComparedSpecificity& row : table.specificity)
      for (const double value : {row.own, row.cross, row.canonical, row.among_edited, row.among_originals})
        whole.finite(value, "specificity");
    for (const ComparedMethod& method : table.methods) {
      const Checker own(operation, table.requirement + ", " + method.name);
      for (const ComparedPoint& point : method.points) {
        own.finite(point.seconds, "seconds");
        own.length(point.network.size(), networks, "a point");
        for (const ComparedNetwork& network : point.network) {
          own.finite(network.requirement, "requirement");
          if (network.divergence) own.finite(*network.divergence, "divergence");
          own.finite(network.accuracy_drop, "accuracy_drop");
        }
      }
      if (method.divergence_volume) own.volume(*method.divergence_volume, networks);
      own.volume(method.accuracy_volume, networks);
    }
  }
}

}  // namespace amend
