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

}  // namespace

TrainingData::TrainingData(const TrainedEditor& trained, const Population& population, const Dataset& dataset,
                           const RandomStream& first_probe, Arena& fixed, Stream stream)
    : data(make_editor_data(dataset, trained.groups_on(dataset), fixed, DType::float32, stream)),
      train_rows(dataset, dataset.editor_train, trained.groups_on(dataset), stream),
      validation_rows(dataset, dataset.validation, trained.groups_on(dataset), stream),
      train_count(0),
      cache(*trained.editor, data, gather_networks(population, trained.config.networks, train_count),
            train_rows.draw(fixed, trained.config.edit_probe_rows, trained.config.edit_probe_cell_rows, first_probe,
                            DType::float32, stream),
            stream) {}

}  // namespace amend
