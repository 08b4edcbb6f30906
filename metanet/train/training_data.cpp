#include "metanet/train/training_data.hpp"

#include <algorithm>

#include "engine/error.hpp"

namespace amend {

namespace {

std::vector<const SubjectNetwork*> networks_of_split(const Population& population, PopulationSplit split) {
  std::vector<const SubjectNetwork*> networks;
  for (const int index : networks_of(population, split))
    networks.push_back(&population.networks[static_cast<std::size_t>(index)]);
  return networks;
}

/// Train networks first, at most `most` of them unless that is 0, then validation networks.
std::vector<const SubjectNetwork*> gather_networks(const Population& population, int most, int& train_count) {
  auto networks = networks_of_split(population, PopulationSplit::train);
  if (most > 0) networks.resize(std::min(networks.size(), static_cast<std::size_t>(most)));
  const auto validation = networks_of_split(population, PopulationSplit::validation);
  if (networks.empty() || validation.empty())
    fail_input("population of `" + population.dataset_name + "`",
               "expected networks in the splits train and validation, got ", networks.size(), " and ",
               validation.size());
  train_count = static_cast<int>(networks.size());
  networks.insert(networks.end(), validation.begin(), validation.end());
  return networks;
}

/// Every second row, from the first or the second on. Splits are shuffled: any half is like the other.
Rows half_of(const Rows& rows, int inputs, std::int64_t first) {
  Rows half;
  half.sensitive.resize(rows.sensitive.size());
  for (std::int64_t row = first; row < rows.count; row += 2, ++half.count) {
    const auto at = static_cast<std::size_t>(row);
    const float* input = rows.input.data() + row * inputs;
    half.input.insert(half.input.end(), input, input + inputs);
    half.label.push_back(rows.label[at]);
    for (std::size_t a = 0; a < rows.sensitive.size(); ++a) half.sensitive[a].push_back(rows.sensitive[a][at]);
  }
  return half;
}

/// An edit that is judged on the rows it is made from learns to fit them; where there are few, it fits nothing else.
RowSampler training_rows(const TrainedEditor& trained, const Dataset& dataset, std::int64_t half, Stream stream) {
  const std::vector<std::string> groups = trained.groups_on(dataset);
  if (!trained.config.split_rows) return {dataset, dataset.editor_train, groups, stream};
  return {dataset, half_of(dataset.editor_train, dataset.inputs, half), groups, stream};
}

}  // namespace

TrainingData::TrainingData(const TrainedEditor& trained, const Population& population, const Dataset& dataset,
                           const RandomStream& first_probe, Arena& fixed, Stream stream)
    : data(make_editor_data(dataset, trained.groups_on(dataset), fixed, DType::float32, stream)),
      probe_rows(training_rows(trained, dataset, 0, stream)),
      loss_rows(trained.config.split_rows ? training_rows(trained, dataset, 1, stream) : probe_rows),
      validation_rows(dataset, dataset.validation, trained.groups_on(dataset), stream),
      train_count(0),
      cache(*trained.editor, data, gather_networks(population, trained.config.networks, train_count),
            probe_rows.draw(fixed, trained.config.edit_probe_rows, trained.config.edit_probe_cell_rows, first_probe,
                            DType::float32, stream),
            stream) {}

}  // namespace amend
