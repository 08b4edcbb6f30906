#include "metanet/train/input_statistics.hpp"

#include <algorithm>
#include <cmath>
#include <optional>

#include "kernels/arguments.hpp"
#include "metanet/model/editor.hpp"

namespace amend {

namespace {

/// Sums of input columns over the rows of every class of some classification.
struct ClassSums {
  std::int64_t rows;
  std::vector<double> count;  // (classes)
  std::vector<double> sum;    // (classes, inputs)

  ClassSums(const Rows& of, std::size_t inputs, const std::vector<std::int32_t>& class_of_row, std::size_t classes)
      : rows(of.count), count(classes, 0.0), sum(classes * inputs, 0.0) {
    const float* x = of.input.data();
    for (const std::int32_t c : class_of_row) {
      const auto which = static_cast<std::size_t>(c);
      count[which] += 1.0;
      for (std::size_t i = 0; i < inputs; ++i) sum[which * inputs + i] += static_cast<double>(*x++);
    }
  }

  /// The root of the share that the means of the classes have in `spread`, the sum of squares about `mean`; 0 for a
  /// column that is constant to rounding.
  double correlation_ratio(std::size_t input, double mean, double spread) const {
    const std::size_t inputs = sum.size() / count.size();
    double between = 0.0;
    for (std::size_t c = 0; c < count.size(); ++c) {
      if (count[c] == 0.0) continue;
      const double apart = sum[c * inputs + input] / count[c] - mean;
      between += count[c] * apart * apart;
    }
    return spread > 1e-9 * static_cast<double>(rows) ? std::sqrt(std::min(between / spread, 1.0)) : 0.0;
  }
};

}  // namespace

void fill_statistics(const Dataset& dataset, const std::vector<std::string>& attributes, const TensorView& statistics) {
  const Rows& rows = dataset.editor_train;
  const auto inputs = static_cast<std::size_t>(dataset.inputs), classes = static_cast<std::size_t>(dataset.classes);
  const double count = static_cast<double>(rows.count);
  const ClassSums label(rows, inputs, rows.label, classes);
  std::optional<ClassSums> group;
  if (!attributes.empty())
    group.emplace(rows, inputs, group_ids(dataset, rows, attributes), group_names(dataset, attributes).size());
  std::vector<double> mean(inputs, 0.0), spread(inputs, 0.0);
  for (std::size_t i = 0; i < inputs; ++i) {
    for (std::size_t c = 0; c < classes; ++c) mean[i] += label.sum[c * inputs + i];
    mean[i] /= count;
  }
  const float* x = rows.input.data();
  for (std::int64_t row = 0; row < rows.count; ++row)
    for (std::size_t i = 0; i < inputs; ++i) {
      const double apart = static_cast<double>(*x++) - mean[i];
      spread[i] += apart * apart;
    }
  kernels::dispatch_float("input_statistics", statistics.dtype, [&](auto zero) {
    using T = decltype(zero);
    T* to = statistics.as<T>();
    for (const Feature& feature : dataset.features)
      for (int k = 0; k < feature.input_count; ++k) {
        const auto i = static_cast<std::size_t>(feature.first_input + k);
        double by_label = label.correlation_ratio(i, mean[i], spread[i]);
        // Of two classes a correlation, with its sign.
        if (classes == 2 && label.count[1] > 0.0 && label.sum[inputs + i] / label.count[1] < mean[i])
          by_label = -by_label;
        for (const double value :
             {mean[i], std::sqrt(spread[i] / count), feature.kind == ColumnKind::categorical ? 1.0 : 0.0, by_label,
              group ? group->correlation_ratio(i, mean[i], spread[i]) : 0.0,
              std::log10(static_cast<double>(feature.input_count))})
          *to++ = static_cast<T>(value);
      }
  });
}

}  // namespace amend
