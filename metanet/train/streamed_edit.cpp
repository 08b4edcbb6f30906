#include "metanet/train/streamed_edit.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

#include "engine/error.hpp"
#include "engine/pipeline.hpp"
#include "metanet/graph/predict.hpp"
#include "metanet/train/interrupt.hpp"

namespace amend {

StreamedEdit edit_streamed(const PopulationReader& reader, std::span<const std::size_t> chosen,
                           std::span<const double> lambda, int batch, const EditBatch& edit, PopulationWriter& writer) {
  check(batch > 0, "edit", "expected a batch of at least one network");
  StreamedEdit result;
  if (chosen.empty()) return result;
  check(lambda.size() % chosen.size() == 0, "edit", "expected as many weights for each of ", chosen.size(),
        " networks, got ", lambda.size());
  const std::size_t size = static_cast<std::size_t>(batch), requirements = lambda.size() / chosen.size();
  const auto first = [&](std::size_t item) { return item * size; };
  const auto count = [&](std::size_t item) { return std::min(size, chosen.size() - first(item)); };

  std::vector<SubjectNetwork> original[2], edited[2];
  PipelineStages stages;
  stages.read = [&](std::size_t item) {
    std::vector<SubjectNetwork>& networks = original[item % 2];
    networks.resize(count(item));
    for (std::size_t n = 0; n < networks.size(); ++n) reader.read(chosen[first(item) + n], networks[n]);
  };
  stages.compute = [&](std::size_t item) {
    if (interrupted()) return false;
    const auto start = std::chrono::steady_clock::now();
    std::vector<EditResult> results =
        edit(pointers_to(original[item % 2]), lambda.subspan(first(item) * requirements, count(item) * requirements));
    result.seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    for (EditResult& one : results) {
      result.edits.push_back({one.network.name, one.nonzero_share, std::move(one.features)});
      edited[item % 2].push_back(std::move(one.network));
    }
    return true;
  };
  stages.write = [&](std::size_t item) {
    for (const SubjectNetwork& network : edited[item % 2]) writer.write(network);
    edited[item % 2].clear();  // frees the weights: the results of the next batch bring their own
  };
  result.complete = run_pipeline((chosen.size() + size - 1) / size, stages) && !interrupted();
  return result;
}

}  // namespace amend
