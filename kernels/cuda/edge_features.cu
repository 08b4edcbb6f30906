// Features of weights as rows. A warp forms those of 32 neighbours, a lane each, and writes them side by side. Bytes a
// weight: 4 (3 + 15) of the first pass, 4 (5 + 2 o + 5 + 4 o) of a refinement with o objectives. Operations a weight: 6
// to 12 logarithms, about 30 each.
#include "kernels/edge_features.hpp"

#include "kernels/cuda/edge_input.cuh"
#include "kernels/cuda/edit_features.cuh"
#include "kernels/feature_arguments.hpp"

namespace amend::kernels::AMEND_CUDA_TWIN {

namespace {

template <class T>
__global__ void __launch_bounds__(kThreads) features_kernel(BlockTable table, EdgeSource<T> source, T* feature) {
  const auto warp = static_cast<std::int64_t>(threadIdx.x / kWarp);
  const std::int64_t first = (std::int64_t{blockIdx.x} * kFeatureWarps + warp) * kWarp, left = table.edge_count - first;
  if (left <= 0) return;
  T* room = dynamic_shared_memory<T>() + warp * kWarp * source.width;
  const std::int32_t block = segment_of(table.block_edges, first);
  write_features(feature, first, left < kWarp ? static_cast<std::int32_t>(left) : kWarp, source.width, room,
                 [&](std::int32_t at, T* f) {
                   std::int32_t own = block;
                   source.form(first + at, find_ends(table, first + at, own), f);
                 });
}

}  // namespace

void edge_features(const EdgeFeatures& args, Stream stream) {
  validate(args);
  dispatch_float("edge_features", args.input.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const EdgeSource<T> source(args.input);
    launch(features_kernel<T>, grid_of(ceil_div(args.table.edge_count, kThreads)), dim3(kThreads),
           static_cast<std::size_t>(kThreads) * static_cast<std::size_t>(source.width) * sizeof(T), stream, args.table,
           source, args.feature.as<T>());
  });
}

}  // namespace amend::kernels::AMEND_CUDA_TWIN
