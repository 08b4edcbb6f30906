#include "metanet/train/row_sampler.hpp"

#include <algorithm>
#include <cmath>

#include "engine/copy.hpp"
#include "kernels/gather.hpp"
#include "kernels/subject_forward.hpp"

namespace amend {

RowSampler::RowSampler(const Dataset& dataset, const Rows& rows, const std::vector<std::string>& attributes,
                       Stream stream)
    : input_({rows.count, dataset.inputs}, DType::float32, stream.device()) {
  check(rows.count > 0, "row_sampler", "`", dataset.name, "` has no rows to draw from");
  copy(input_, {const_cast<float*>(rows.input.data()), input_.view().shape, DType::float32, Device::cpu()}, stream);
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

void RowSampler::weigh(std::span<const double> weight) {
  check(static_cast<std::int64_t>(weight.size()) == rows(), "row_sampler", "expected ", rows(), " weights, got ",
        weight.size());
  double sum = 0.0;
  cumulative_.clear();
  for (const double w : weight) {
    check(std::isfinite(w) && w >= 0.0, "row_sampler", "expected finite weights >= 0, got ", w);
    cumulative_.push_back(sum += w);
  }
  check(std::isfinite(sum) && sum > 0.0, "row_sampler", "expected weights with a positive finite sum, got ", sum);
  for (double& end : cumulative_) end /= sum;
}

RowDraw RowSampler::plan(Arena& arena, std::int64_t random_rows, std::int64_t cell_rows, const RandomStream& random,
                         DType dtype) const {
  RowDraw draw;
  RowBatch& batch = draw.batch;
  const std::int64_t cells = static_cast<std::int64_t>(cell_.size()), total = random_rows + cells * cell_rows;
  batch.random_rows = random_rows;
  batch.groups = groups_;
  const Arena::Staged index = arena.stage({total}, DType::int32);
  draw.index = index.device;
  draw.host_index = index.host;
  std::int32_t* row = index.host.as<std::int32_t>();
  for (std::int64_t i = 0; i < random_rows; ++i) {
    const auto at = static_cast<std::uint64_t>(i);
    if (cumulative_.empty()) {
      row[i] = static_cast<std::int32_t>(random.below(at, static_cast<std::uint32_t>(rows())));
    } else {
      // The first row whose weights so far exceed u: never one of weight 0.
      const auto found = std::upper_bound(cumulative_.begin(), cumulative_.end() - 1, double{random.uniform(at)});
      row[i] = static_cast<std::int32_t>(found - cumulative_.begin());
    }
  }
  batch.x = {nullptr, {total, input_.view().extent(1)}, dtype, arena.device()};
  if (groups_ == 0) return draw;

  const Arena::Staged cell = arena.stage({total}, DType::int32), parity = arena.stage({groups_, cells}, dtype),
                      opportunity = arena.stage({groups_, cells}, dtype);
  for (const Arena::Staged* mix : {&parity, &opportunity}) zero(mix->host, Stream());
  std::fill_n(cell.host.as<std::int32_t>(), random_rows, -1);
  for (std::int64_t c = 0; c < cells; ++c) {
    const auto& members = cell_[static_cast<std::size_t>(c)];
    for (std::int64_t k = 0; k < cell_rows; ++k) {
      const std::int64_t i = random_rows + c * cell_rows + k;
      row[i] = members[random.below(static_cast<std::uint64_t>(i), static_cast<std::uint32_t>(members.size()))];
      cell.host.as<std::int32_t>()[i] = static_cast<std::int32_t>(c);
    }
    const std::int64_t group = c % groups_;
    const auto set = [&](const TensorView& matrix, double value) {
      if (dtype == DType::float64)
        matrix.as<double>()[group * cells + c] = value;
      else
        matrix.as<float>()[group * cells + c] = static_cast<float>(value);
    };
    set(parity.host, label_share_[static_cast<std::size_t>(c)]);
    if (c >= groups_) set(opportunity.host, 1.0);
  }
  batch.cell = cell.device;
  batch.parity_mix = parity.device;
  batch.opportunity_mix = opportunity.device;
  return draw;
}

RowBatch RowSampler::gather(const RowDraw& draw, Arena& arena, Stream stream) const {
  RowBatch batch = draw.batch;
  batch.x = arena.tensor(draw.batch.x.shape, draw.batch.x.dtype);
  kernels::gather_rows({.x = input_, .index = draw.index, .y = batch.x}, stream);
  batch.x_id = kernels::new_x_id();
  return batch;
}

RowBatch RowSampler::draw(Arena& arena, std::int64_t random_rows, std::int64_t cell_rows, const RandomStream& random,
                          DType dtype, Stream stream) const {
  const RowDraw draw = plan(arena, random_rows, cell_rows, random, dtype);
  arena.upload(stream);
  return gather(draw, arena, stream);
}

}  // namespace amend
