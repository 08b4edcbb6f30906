#pragma once

// States of edges from their features, a tile at a time: features never leave the first cache.

#include "kernels/cpu/vector/edge_input.hpp"

namespace amend::kernels::cpu::AMEND_VECTOR_TARGET {

template <class T>
std::int64_t edge_embed_scratch(std::int64_t width, std::int64_t d) {
  return edge_input_scratch<T>(width) + kInputEdges * whole_vectors<T>(d);
}

/// body(begin, edges, features) for tiles of the rows' edges.
template <class T, class Body>
AMEND_INLINE void for_feature_tiles(const EdgeEmbedRows<T>& a, const Body& body) {
  Walk at{0, 0, a.cols};
  const std::int64_t count = a.rows * a.cols;
  for (std::int64_t begin = 0; begin < count; begin += kInputEdges) {
    const std::int64_t edges = count - begin < kInputEdges ? count - begin : kInputEdges;
    body(begin, edges, edge_inputs(a.input, begin, edges, at, a.scratch));
    at.skip(edges);
  }
}

template <class T>
void edge_embed_forward(const EdgeEmbedRows<T>& args) {
  const EdgeEmbedRows<T> a = args;  // a copy: stores cannot change it
  const std::int64_t width = a.input.width;
  for_feature_tiles(a, [&](std::int64_t begin, std::int64_t edges, Left<T> feature) {
    T* out = a.out + begin * a.d;
    multiply(edges, a.d, width, feature, packed(a.packed_weight, width), a.bias,
             [&](std::int64_t k, std::int64_t i, Vector<T> sum, auto lanes) { store(out + k * a.d + i, sum, lanes); });
  });
}

template <class T>
void edge_embed_backward(const EdgeEmbedRowsGradient<T>& args) {
  const EdgeEmbedRowsGradient<T> g = args;  // a copy: stores cannot change it
  const EdgeEmbedRows<T>& a = g.forward;
  const std::int64_t d = a.d, whole = whole_vectors<T>(d);
  T* room = a.scratch + edge_input_scratch<T>(a.input.width);
  for_feature_tiles(a, [&](std::int64_t begin, std::int64_t edges, Left<T> feature) {
    const T *grad = g.grad_out + begin * d, *right = grad;
    if (whole != d) {  // rows of whole vectors
      for (std::int64_t k = 0; k < edges; ++k)
        for (std::int64_t i = 0; i < whole; ++i) room[k * whole + i] = i < d ? grad[k * d + i] : T(0);
      right = room;
    }
    multiply(a.input.width, d, edges, Left<T>{feature.data, feature.term, feature.row}, row_major(right, whole),
             [&](std::int64_t i, std::int64_t j, Vector<T> sum, auto lanes) {
               T* to = g.grad_weight + i * d + j;
               store(to, load(to, lanes) + sum, lanes);
             });
    for_vectors<T, 0>(d, [&](std::int64_t i, auto lanes) {
      Vector<T> sum = load(g.grad_bias + i, lanes);
      for (std::int64_t k = 0; k < edges; ++k) sum += load(grad + k * d + i, lanes);
      store(g.grad_bias + i, sum, lanes);
    });
  });
}

}  // namespace amend::kernels::cpu::AMEND_VECTOR_TARGET
