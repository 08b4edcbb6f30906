#pragma once

#include <cstdint>
#include <vector>

#include "bench/measure/case.hpp"

namespace amend::bench {

/// Sizes of the kernels' cases.
struct KernelSize {
  std::vector<int> widths{104, 32, 16, 2};
  std::int64_t d = 64, h = 64, rows = 512;
  /// Of the message layers' edge products; with bf16 a forward pass has its states in bf16 too.
  kernels::Precision precision = kernels::Precision::float32;
  int messages = 1;
};

Family edge_update_forward_family(const KernelSize& size);
Family edge_update_backward_family(const KernelSize& size);
/// All message layers in one call, which stay on chip where the device can; or as what they are made of: linear,
/// edge_update and node_update for every layer. States are bf16 when the precision is.
Family message_layers_family(const KernelSize& size);
Family layer_by_layer_family(const KernelSize& size);
Family edge_embed_family(const KernelSize& size);
Family edge_embed_update_forward_family(const KernelSize& size);
Family edge_embed_update_backward_family(const KernelSize& size);
Family edit_head_family(const KernelSize& size);
Family probe_family(const KernelSize& size);
Family subject_forward_family(const KernelSize& size);
Family subject_backward_family(const KernelSize& size);
Family divergence_family(const KernelSize& size);
Family gate_family(const KernelSize& size);
Family adamw_family(std::int64_t parameters);

/// A product of the CPU's kernels, of one thread: (m, k) times (k, n), the left factor transposed in memory for the
/// gradient of a weight, the right one for a linear layer. `library`: by OpenBLAS whatever its size.
struct ProductSize {
  int m, n, k;
  bool left_transposed = false, right_transposed = false;
};
Family product_family(const ProductSize& size, bool library);

}  // namespace amend::bench
