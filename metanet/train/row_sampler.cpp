#include "metanet/train/row_sampler.hpp"

#include <algorithm>

namespace amend {

RowSampler::RowSampler(const Dataset& dataset, const Rows& rows, const std::vector<std::string>& attributes)
    : inputs_(dataset.inputs), input_(rows.input) {
  check(rows.count > 0, "row_sampler", "`", dataset.name, "` has no rows to draw from");
  if (attributes.empty()) return;
  const std::vector<std::string> names = group_names(dataset, attributes);
  const std::vector<std::int32_t> group = group_ids(dataset, rows, attributes);
  if (dataset.classes != 2)
    fail_input(dataset.source.string(), "fairness needs two classes, `", dataset.name, "` has ", dataset.classes);
  groups_ = static_cast<int>(names.size());
  cell_.resize(static_cast<std::size_t>(2 * groups_));
  for (std::int64_t row = 0; row < rows.count; ++row) {
    const auto at = static_cast<std::size_t>(row);
    cell_[static_cast<std::size_t>(rows.label[at] * groups_ + group[at])].push_back(static_cast<std::int32_t>(row));
  }
  label_share_.resize(cell_.size());
  for (std::size_t g = 0; g < names.size(); ++g) {
    const std::size_t other = g + names.size();
    for (const std::size_t cell : {g, other})
      if (cell_[cell].empty())
        fail_input(dataset.source.string(), "group `", names[g], "` has no row with label `",
                   dataset.class_names[cell == g ? 0 : 1], "`: its rates cannot be estimated");
    const double count = static_cast<double>(cell_[g].size() + cell_[other].size());
    label_share_[g] = static_cast<double>(cell_[g].size()) / count;
    label_share_[other] = static_cast<double>(cell_[other].size()) / count;
  }
}

RowBatch RowSampler::draw(Arena& arena, std::int64_t random_rows, std::int64_t cell_rows, const RandomStream& stream,
                          DType dtype) const {
  RowBatch batch;
  const std::int64_t cells = static_cast<std::int64_t>(cell_.size()), total = random_rows + cells * cell_rows;
  batch.random_rows = random_rows;
  batch.groups = groups_;
  batch.x = arena.tensor({total, inputs_}, dtype);
  if (groups_ > 0) {
    batch.cell = arena.tensor({total}, DType::int32);
    batch.parity_mix = arena.zeros({groups_, cells}, dtype);
    batch.opportunity_mix = arena.zeros({groups_, cells}, dtype);
  }
  const auto copy_row = [&](std::int64_t to, std::int64_t from) {
    const float* row = input_.data() + from * inputs_;
    if (dtype == DType::float64)
      std::copy_n(row, inputs_, batch.x.as<double>() + to * inputs_);
    else
      std::copy_n(row, inputs_, batch.x.as<float>() + to * inputs_);
  };
  for (std::int64_t i = 0; i < random_rows; ++i) {
    copy_row(i, stream.below(static_cast<std::uint64_t>(i), static_cast<std::uint32_t>(rows())));
    if (groups_ > 0) batch.cell.as<std::int32_t>()[i] = -1;
  }
  for (std::int64_t c = 0; c < cells; ++c) {
    const auto& members = cell_[static_cast<std::size_t>(c)];
    for (std::int64_t k = 0; k < cell_rows; ++k) {
      const std::int64_t i = random_rows + c * cell_rows + k;
      const auto pick = stream.below(static_cast<std::uint64_t>(i), static_cast<std::uint32_t>(members.size()));
      copy_row(i, members[pick]);
      batch.cell.as<std::int32_t>()[i] = static_cast<std::int32_t>(c);
    }
    const std::int64_t group = c % groups_;
    const auto set = [&](const TensorView& matrix, double value) {
      if (dtype == DType::float64)
        matrix.as<double>()[group * cells + c] = value;
      else
        matrix.as<float>()[group * cells + c] = static_cast<float>(value);
    };
    set(batch.parity_mix, label_share_[static_cast<std::size_t>(c)]);
    if (c >= groups_) set(batch.opportunity_mix, 1.0);
  }
  return batch;
}

}  // namespace amend
