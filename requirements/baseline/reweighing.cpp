#include "requirements/baseline/reweighing.hpp"
namespace amend {
std::vector<double> reweighing_weights(std::span<const std::int32_t> label, std::span<const std::int32_t> group, int classes, int groups) {
  std::vector<double> l(classes), g(groups), both(classes*groups), w;
  for (size_t r=0;r<label.size();++r){l[label[r]]++;g[group[r]]++;both[label[r]*groups+group[r]]++;}
  for (size_t r=0;r<label.size();++r) w.push_back(l[label[r]]*g[group[r]]/label.size()/both[label[r]*groups+group[r]]);
  return w;
}
}
