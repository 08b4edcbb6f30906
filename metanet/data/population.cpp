#include "metanet/data/population.hpp"

#include "engine/error.hpp"
#include "metanet/data/population_stream.hpp"

namespace amend {

std::string to_string(PopulationSplit split) {
  switch (split) {
    case PopulationSplit::train: return "train";
    case PopulationSplit::validation: return "validation";
    case PopulationSplit::test: return "test";
  }
  fail("population_split", "expected one of 0 .. 2, got ", static_cast<int>(split));
}

Population load_population(const std::filesystem::path& folder) {
  const PopulationReader reader(folder);
  Population population = reader.outline();
  for (std::size_t i = 0; i < population.networks.size(); ++i) reader.read(i, population.networks[i]);
  return population;
}

void save_population(const Population& population, const std::filesystem::path& folder) {
  PopulationWriter writer(population, folder);
  for (const SubjectNetwork& network : population.networks) writer.write(network);
  writer.commit();
}

std::vector<int> networks_of(const Population& population, PopulationSplit split) {
  std::vector<int> indices;
  for (std::size_t i = 0; i < population.split.size(); ++i)
    if (population.split[i] == split) indices.push_back(static_cast<int>(i));
  return indices;
}

}  // namespace amend
