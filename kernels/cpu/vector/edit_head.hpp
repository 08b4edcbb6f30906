#pragma once

// The network of every weight on consecutive target rows of one block, a tile of edges at a time: hidden layers never
// leave the first cache.

#include "kernels/cpu/vector/dots.hpp"
#include "kernels/cpu/vector/edge_input.hpp"

namespace amend::kernels::cpu::AMEND_VECTOR_TARGET {

inline constexpr std::int64_t kHeadEdges = kInputEdges;

template <class T>
std::int64_t edit_head_scratch(std::int64_t h, std::int64_t d, std::int64_t d2) {
  return 4 * kHeadEdges * whole_vectors<T>(h) + edge_input_scratch<T>(d) + edge_input_scratch<T>(d2);
}

/// A tile of hidden states: (edges, width), 0 beyond the h columns.
template <class T>
struct HiddenTile {
  T* data;
  std::int64_t width;

  AMEND_INLINE T* at(std::int64_t edge, std::int64_t column) const { return data + edge * width + column; }
};

/// What a tile of edges reads, formed in `room` where it is features.
template <class T>
struct HeadInputs {
  Left<T> edge, edge2;

  AMEND_INLINE HeadInputs(const EditHeadRows<T>& a, std::int64_t begin, std::int64_t edges, Walk at, T* room)
      : edge(edge_inputs(a.edge, begin, edges, at, room)),
        edge2(a.d2 == 0 ? Left<T>{} : edge_inputs(a.edge2, begin, edges, at, room + kInputEdges * a.d)) {}
};

/// Hidden layers of `edges` edges from `begin` on: the first into `first`, the second, if there is one, into `second`.
/// Returns the last of them.
template <int kH, class T>
AMEND_INLINE HiddenTile<T> hidden_layers(const EditHeadRows<T>& a, const HeadInputs<T>& in, std::int64_t edges, Walk at,
                                         HiddenTile<T> first, HiddenTile<T> second) {
  const std::int64_t h = kH ? kH : a.h;
  const T *u[kHeadEdges], *v[kHeadEdges];
  for (std::int64_t k = 0; k < edges; ++k, at.next()) {
    u[k] = a.target + at.row * 2 * h;
    v[k] = a.source + at.col * 2 * h + h;
  }
  const auto finish = [&](std::int64_t k, std::int64_t i, Vector<T> sum, auto lanes) {
    const Vector<T> nodes = (load(u[k] + i, lanes) + load(v[k] + i, lanes)) + load(a.bias + i, lanes);
    store(first.at(k, i), positive_part(sum + nodes));
  };
  const Factors<T> edge{a.d, in.edge, packed(a.packed_weight, a.d)};
  if (a.d2 == 0)
    multiply<kH>(edges, h, {edge}, nullptr, finish);
  else
    multiply<kH>(edges, h, {edge, {a.d2, in.edge2, packed(a.packed_weight2, a.d2)}}, nullptr, finish);
  if (a.packed_mix == nullptr) return first;
  multiply<kH>(
      edges, h, h, Left<T>{first.data, first.width, 1}, packed(a.packed_mix, h),
      [&](std::int64_t k, std::int64_t i, Vector<T> sum, auto) { store(second.at(k, i), positive_part(sum)); });
  return second;
}

template <int kH, class T>
void edit_head_rows(const EditHeadRows<T>& args) {
  const EditHeadRows<T> a = args;  // a copy: stores cannot change it
  const std::int64_t h = kH ? kH : a.h, width = whole_vectors<T>(h), count = a.rows * a.cols;
  const HiddenTile<T> first{a.scratch, width}, second{first.at(kHeadEdges, 0), width};
  T* room = second.at(kHeadEdges, 0);
  Walk at{0, 0, a.cols};
  for (std::int64_t begin = 0; begin < count; begin += kHeadEdges) {
    const std::int64_t edges = count - begin < kHeadEdges ? count - begin : kHeadEdges;
    const HeadInputs<T> in(a, begin, edges, at, room);
    const HiddenTile<T> last = hidden_layers<kH>(a, in, edges, at, first, second);
    dot_products<kH>(DotProducts<T>{.rows = edges,
                                    .columns = a.outputs,
                                    .terms = h,
                                    .a = last.data,
                                    .a_row = width,
                                    .w = a.head,
                                    .w_row = h,
                                    .bias = a.head_bias,
                                    .to = a.out + begin * a.outputs});
    at.skip(edges);
  }
}

template <int kH, class T>
void edit_head_rows_backward(const EditHeadRowsGradient<T>& args) {
  const EditHeadRowsGradient<T> g = args;  // a copy: stores cannot change it
  const EditHeadRows<T>& a = g.forward;
  const std::int64_t h = kH ? kH : a.h, width = whole_vectors<T>(h), count = a.rows * a.cols;
  const HiddenTile<T> first{a.scratch, width}, second{first.at(kHeadEdges, 0), width},
      grad_last{second.at(kHeadEdges, 0), width}, grad_first{grad_last.at(kHeadEdges, 0), width};
  T* room = grad_first.at(kHeadEdges, 0);
  const auto add_to = [&](T* to) {
    return [to, h](std::int64_t i, std::int64_t j, Vector<T> sum, auto lanes) {
      store(to + i * h + j, load(to + i * h + j, lanes) + sum, lanes);
    };
  };
  // Through a rectifier: the gradient where the unit is open.
  const auto open_only = [](Vector<T> unit, Vector<T> grad) { return unit > 0 ? grad : Vector<T>{}; };
  Walk at{0, 0, a.cols};
  for (std::int64_t begin = 0; begin < count; begin += kHeadEdges) {
    const std::int64_t edges = count - begin < kHeadEdges ? count - begin : kHeadEdges;
    const HeadInputs<T> in(a, begin, edges, at, room);
    const HiddenTile<T> last = hidden_layers<kH>(a, in, edges, at, first, second);
    const T* grad_out = g.grad_out + begin * a.outputs;
    multiply<kH>(a.outputs, h, edges, Left<T>{grad_out, 1, a.outputs}, row_major<T>(last.data, width),
                 add_to(g.grad_head));
    for (std::int64_t o = 0; o < a.outputs; ++o) {
      T sum[4] = {};  // side by side: no addition waits for the one before
      for (std::int64_t k = 0; k < edges; ++k) sum[k % 4] += grad_out[k * a.outputs + o];
      g.grad_head_bias[o] += (sum[0] + sum[1]) + (sum[2] + sum[3]);
    }
    multiply<kH>(edges, h, a.outputs, Left<T>{grad_out, a.outputs, 1}, packed(g.packed_head, a.outputs),
                 [&](std::int64_t k, std::int64_t i, Vector<T> sum, auto) {
                   store(grad_last.at(k, i), open_only(load<T>(last.at(k, i)), sum));
                 });
    HiddenTile<T> grad_z = grad_last;
    if (a.packed_mix != nullptr) {
      multiply<kH>(h, h, edges, Left<T>{grad_last.data, 1, width}, row_major<T>(first.data, width), add_to(g.grad_mix));
      multiply<kH>(edges, h, h, Left<T>{grad_last.data, width, 1}, packed(g.packed_mix, h),
                   [&](std::int64_t k, std::int64_t i, Vector<T> sum, auto) {
                     store(grad_first.at(k, i), open_only(load<T>(first.at(k, i)), sum));
                   });
      grad_z = grad_first;
    }
    // Transposed: states and features have no whole vectors.
    const Right<T> right = row_major<T>(grad_z.data, width);
    const auto transposed = [](Left<T> x) { return Left<T>{x.data, x.term, x.row}; };
    multiply<kH>(a.d, h, edges, transposed(in.edge), right, add_to(g.grad_weight));
    if (a.d2 > 0) multiply<kH>(a.d2, h, edges, transposed(in.edge2), right, add_to(g.grad_weight2));
    const auto back = [&](const T* packed_weight, std::int64_t columns, T* grad, bool fresh) {
      multiply(edges, columns, h, Left<T>{grad_z.data, width, 1}, packed(packed_weight, h),
               [&](std::int64_t k, std::int64_t i, Vector<T> sum, auto lanes) {
                 T* to = grad + k * columns + i;
                 store(to, fresh ? sum : load(to, lanes) + sum, lanes);
               });
    };
    if (g.grad_edge) back(g.packed_weight, a.d, g.grad_edge + begin * a.d, g.fresh_edge);
    if (g.grad_edge2) back(g.packed_weight2, a.d2, g.grad_edge2 + begin * a.d2, false);
    for_row_pieces(at, edges, [&](std::int64_t begin_of_piece, std::int64_t piece, std::int64_t row, std::int64_t col) {
      T* grad_u = g.grad_target + row * 2 * h;
      T* grad_v = g.grad_column + col * h;
      for_vectors<T, kH>(h, [&](std::int64_t i, auto lanes) {
        Vector<T> sum{};
        for (std::int64_t k = 0; k < piece; ++k) {
          const Vector<T> z = load<T>(grad_z.at(begin_of_piece + k, i));
          T* to = grad_v + k * h + i;
          store(to, load(to, lanes) + z, lanes);
          sum += z;
        }
        store(grad_u + i, load(grad_u + i, lanes) + sum, lanes);
        store(g.grad_bias + i, load(g.grad_bias + i, lanes) + sum, lanes);
      });
    });
  }
}

template <class T>
void edit_head_forward(const EditHeadRows<T>& a) {
  if constexpr (sizeof(T) == 4) switch (a.h) {
      case 16: return edit_head_rows<16>(a);
      case 32: return edit_head_rows<32>(a);
    }
  edit_head_rows<0>(a);
}

template <class T>
void edit_head_backward(const EditHeadRowsGradient<T>& g) {
  if constexpr (sizeof(T) == 4) switch (g.forward.h) {
      case 16: return edit_head_rows_backward<16>(g);
      case 32: return edit_head_rows_backward<32>(g);
    }
  edit_head_rows_backward<0>(g);
}

}  // namespace amend::kernels::cpu::AMEND_VECTOR_TARGET
