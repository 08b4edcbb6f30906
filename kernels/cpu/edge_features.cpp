// Features of weights as rows, a tile of edges at a time. Bytes an edge: 4 (3 + 15) of the first pass, 4 (5 + 2 o + 5 +
// 4 o) of a refinement with o objectives. Operations: 6 to 12 logarithms an edge.
#include "kernels/edge_features.hpp"

#include "kernels/cpu/edge_input.hpp"
#include "kernels/feature_arguments.hpp"

namespace amend::kernels::cpu {

void edge_features(const EdgeFeatures& args, Stream) {
  validate(args);
  dispatch_float("edge_features", args.input.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const EdgeInputOf<T> input(args.input);
    const Functions<T>& functions = vector_functions().of<T>();
    const std::int64_t width = args.input.width();
    const ChunkList& list = block_chunks(args.table);
    T* feature = args.feature.as<T>();
    parallel_for(static_cast<std::int64_t>(list.chunk.size()), [&](std::int64_t c) {
      const BlockChunk& chunk = list.chunk[static_cast<std::size_t>(c)];
      functions.edge_features({.input = input.rows(args.table, chunk),
                               .rows = chunk.row_count,
                               .cols = args.table.block[chunk.block].cols,
                               .feature = feature + first_edge(args.table, chunk) * width,
                               .scratch = scratch<T>(2, functions.edge_input_scratch(width))});
    });
  });
}

}  // namespace amend::kernels::cpu
