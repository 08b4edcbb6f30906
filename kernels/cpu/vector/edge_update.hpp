#pragma once

// The message layer on consecutive target rows of one block. A few edges at a time go all the way, so that only edge
// states and the partial sums leave the first cache: z = C e + u + v on registers, layer norm, gate and both sums a
// vector of channels at a time, then G g on registers, added to the state as it is stored. A layer norm takes the mean
// of its input away; as C e + u + v is linear, the mean is taken out of C, u and v beforehand, once for all edges.
// States of a first layer, e = W f + b, are formed on the way; as C e = (C W) f + C b, z has the terms of the features.
// In tf32 and bf16 the tile's operands are rounded before they are multiplied, as float32: their products are exact.

#include "kernels/cpu/vector/edge_input.hpp"
#include "kernels/cpu/vector/functions.hpp"
#include "kernels/cpu/vector/multiply.hpp"
#include "kernels/cpu/vector/rounding.hpp"
#include "kernels/cpu/vector/walk.hpp"

namespace amend::kernels::cpu::AMEND_VECTOR_TARGET {

inline constexpr double kLayerNormEpsilon = 1e-5;
/// Edges of a forward tile: the packed weights are read once for all of them. Whole vectors of edges, and hardly any
/// left over by the rows of a register tile.
inline constexpr std::int64_t kForwardEdges = kVectorBytes == 64 ? 32 : 24;
/// Of a backward tile: the weights' gradients are read and written once for all of them.
inline constexpr std::int64_t kBackwardEdges = 48;

static_assert(kBackwardEdges == kInputEdges && kForwardEdges <= kInputEdges);

/// Of features `width` wide; 0: states.
template <class T>
std::int64_t edge_update_scratch(std::int64_t d, std::int64_t width) {
  return 6 * kBackwardEdges * whole_vectors<T>(d) + 3 * whole_vectors<T>(d) +
         (width > 0 ? edge_input_scratch<T>(width + 1) : 0);
}

/// What C is multiplied with to give z, the states of edges or their features, and what stands for C then.
template <class T>
struct ZFactors {
  std::int64_t terms;
  Left<T> left;
  const T* start;  // added to every row, or null
};

/// z (edges, width) = C e + u + v, each without its mean over the channels (the caller took it out of C, u and v), and
/// the inverse deviation of every edge: layer_norm(C e + u + v) is their product.
template <int kD, int kEdges, class T>
AMEND_INLINE void centred_z(const EdgeUpdateRows<T>& a, const ZFactors<T>& from, std::int64_t edges, Walk at, T* z,
                            T* inverse) {
  const std::int64_t d = kD ? kD : a.d, width = whole_vectors<T>(d);
  const T *u[kEdges], *v[kEdges];
  for (std::int64_t k = 0; k < edges; ++k, at.next()) {
    u[k] = a.u + at.row * d;
    v[k] = a.v + at.col * d;
  }
  multiply<kD>(edges, d, from.terms, from.left, packed(a.packed_c, from.terms), from.start,
               [&](std::int64_t k, std::int64_t i, Vector<T> sum, auto lanes) {
                 store(z + k * width + i, sum + (load(u[k] + i, lanes) + load(v[k] + i, lanes)));
               });
  // Beyond the last edge: rows of the tile that nobody reads.
  static_assert(kEdges % kLanes<T> == 0);
  for (std::int64_t k = 0; k < kEdges; k += kLanes<T>) {
    Vector<T> squares[kLanes<T>] = {};
#pragma GCC unroll 16
    for (std::int64_t n = 0; n < kLanes<T>; ++n)
      for_vectors<T, kD>(width, [&](std::int64_t i, auto) {
        const Vector<T> value = load(z + (k + n) * width + i);
        squares[n] += value * value;
      });
    store(inverse + k, lane_sums<T>(squares));
  }
  const T share = T(1) / static_cast<T>(d);
  for (std::int64_t k = 0; k < kEdges; ++k)
    inverse[k] = inverse_root(inverse[k] * share + static_cast<T>(kLayerNormEpsilon));
}

/// Asks for `count` elements that are read, or written, a tile later: they lie in memory, and what the loops do with
/// one tile is more than a processor looks ahead.
template <class T>
void prefetch(const T* from, std::int64_t count) {
  constexpr std::int64_t kLine = 64 / static_cast<std::int64_t>(sizeof(T));
  for (std::int64_t i = 0; i < count; i += kLine) __builtin_prefetch(from + i);
}

/// What a layer's states are: in memory, formed from features, or in memory and rounded as operands.
enum class States { given, formed, rounded };

template <int kD, States kStates, class T>
void edge_update_rows(const EdgeUpdateRows<T>& args) {
  constexpr bool kForms = kStates == States::formed, kRounds = kStates == States::rounded;
  constexpr std::int64_t kEdges = kForms ? kInputEdges : kForwardEdges;
  const EdgeUpdateRows<T> a = args;  // a copy: stores cannot change it
  const Rounding round(a.precision);
  const std::int64_t d = kD ? kD : a.d, width = whole_vectors<T>(d), count = a.rows * a.cols;
  T* gate = a.scratch;
  T* room = gate + kEdges * width;
  T* wide = room + kEdges * width;  // states that are stored as bf16
  T inverse[kEdges];
  Walk at{0, 0, a.cols};
  for (std::int64_t begin = 0; begin < count; begin += kEdges) {
    const std::int64_t edges = count - begin < kEdges ? count - begin : kEdges;
    const bool narrows = kRounds && a.narrow_edge != nullptr;
    T* out = narrows ? wide : a.edge_out + begin * d;
    const T* edge = kForms || narrows ? out : a.edge + begin * d;
    if (!kForms && out != edge && begin + 2 * kEdges <= count) {  // in place they are in the caches
      prefetch(edge + kEdges * d, kEdges * d);
      prefetch(out + kEdges * d, kEdges * d);
    }
    if constexpr (kForms) {
      const EmbeddingRows<T>& embed = a.embed;
      const std::int64_t terms = embed.input.width;
      const Left<T> feature = edge_inputs(embed.input, begin, edges, at, room);
      multiply<kD>(
          edges, d, terms, feature, packed(embed.packed_weight, terms), embed.bias,
          [&](std::int64_t k, std::int64_t i, Vector<T> sum, auto lanes) { store(out + k * d + i, sum, lanes); });
      centred_z<kD, kEdges>(a, {terms, feature, embed.z_bias}, edges, at, gate, inverse);
    } else if constexpr (kRounds) {
      if (narrows) widen(a.narrow_edge + begin * d, edges * d, wide);
      for_vectors<T, 0>(edges * d,
                        [&](std::int64_t i, auto lanes) { store(room + i, round(load(edge + i, lanes)), lanes); });
      centred_z<kD, kEdges>(a, {d, {room, d, 1}, nullptr}, edges, at, gate, inverse);
    } else {
      centred_z<kD, kEdges>(a, {d, {edge, d, 1}, nullptr}, edges, at, gate, inverse);
    }
    for_row_pieces(at, edges, [&](std::int64_t first, std::int64_t piece, std::int64_t row, std::int64_t col) {
      const T *t = a.t + row * d, *s = a.s + col * d;
      T* row_sum = a.row_sum + row * 2 * d;
      T* column_sum = a.column_sum + col * d;
      for_vectors<T, kD>(d, [&](std::int64_t i, auto lanes) {
        const Vector<T> gamma = load(a.gamma + i, lanes), beta = load(a.beta + i, lanes), of_row = load(t + i, lanes);
        Vector<T> sum = load(row_sum + i, lanes);
        for (std::int64_t k = 0; k < piece; ++k) {
          T* g = gate + (first + k) * width + i;
          const Vector<T> x = gamma * (load(g) * broadcast(inverse[first + k])) + beta, y = x * sigmoid_lanes(x);
          if constexpr (kRounds)
            store(g, round(y));
          else
            store(g, y);
          sum += y * load(s + k * d + i, lanes);
          T* column = column_sum + k * d + i;
          store(column, load(column, lanes) + y * of_row, lanes);
        }
        store(row_sum + i, sum, lanes);
      });
    });
    multiply<kD>(edges, d, d, Left<T>{gate, width, 1}, packed(a.packed_g, d),
                 [&](std::int64_t k, std::int64_t i, Vector<T> sum, auto lanes) {
                   store(out + k * d + i, load(edge + k * d + i, lanes) + load(a.alpha + i, lanes) * sum, lanes);
                 });
    if constexpr (kRounds)
      if (narrows) narrow(wide, edges * d, a.narrow_out + begin * d);
  }
}

template <int kD, States kStates, class T>
void edge_update_rows_backward(const EdgeUpdateRowsGradient<T>& args) {
  constexpr bool kForms = kStates == States::formed, kRounds = kStates == States::rounded;
  const EdgeUpdateRowsGradient<T> g = args;  // a copy: stores cannot change it
  const EdgeUpdateRows<T>& a = g.forward;
  const Rounding round(a.precision);
  const std::int64_t d = kD ? kD : a.d, width = whole_vectors<T>(d), count = a.rows * a.cols;
  T* normal = a.scratch;
  T* gate = normal + kBackwardEdges * width;
  T* grad = gate + kBackwardEdges * width;      // of the gate, then of z
  T* scaled = grad + kBackwardEdges * width;    // alpha times the gradient of the states
  T* states = scaled + kBackwardEdges * width;  // in rows of whole vectors, rounded
  T* zeros = states + kBackwardEdges * width;
  T* features = zeros + 3 * width;
  T inverse[kBackwardEdges], mean[kBackwardEdges], slope[kBackwardEdges];
  for (std::int64_t i = 0; i < width; ++i) zeros[i] = T(0);
  const std::int64_t terms = kForms ? a.embed.input.width : d;
  if constexpr (kForms)
    for (std::int64_t k = 0; k < kBackwardEdges; ++k) features[terms * kInputEdges + k] = T(1);  // the bias's
  T *grad_gamma = g.grad_modulation, *grad_beta = grad_gamma + d;
  const auto operand = [&](Vector<T> x) __attribute__((always_inline)) {
    if constexpr (kRounds)
      return round(x);
    else
      return x;
  };
  const T share = T(1) / static_cast<T>(d);
  Walk at{0, 0, a.cols};
  for (std::int64_t begin = 0; begin < count; begin += kBackwardEdges) {
    const std::int64_t edges = count - begin < kBackwardEdges ? count - begin : kBackwardEdges;
    const T* grad_out = g.grad_out ? g.grad_out + begin * d : nullptr;
    if (begin + 2 * kBackwardEdges <= count) {
      const std::int64_t next = (begin + kBackwardEdges) * d;
      if (!kForms) prefetch(a.edge + next, kBackwardEdges * d);
      if (grad_out) prefetch(g.grad_out + next, kBackwardEdges * d);
      if (g.grad_edge && g.grad_edge != g.grad_out) prefetch(g.grad_edge + next, kBackwardEdges * d);
    }
    if (grad_out) {
      for (std::int64_t k = 0; k < edges; ++k)
        for_vectors<T, kD>(d, [&](std::int64_t i, auto lanes) {
          const Vector<T> step = load(a.alpha + i, lanes) * load(grad_out + k * d + i, lanes);
          store(scaled + k * width + i, operand(step));
        });
      multiply<kD>(edges, d, d, Left<T>{scaled, width, 1}, packed(g.packed_g, d),
                   [&](std::int64_t k, std::int64_t i, Vector<T> sum, auto) { store(grad + k * width + i, sum); });
    } else {
      for (std::int64_t i = 0; i < edges * width; ++i) grad[i] = T(0);
    }
    if constexpr (kForms) {
      centred_z<kD, kBackwardEdges>(a, {terms, edge_inputs(a.embed.input, begin, edges, at, features), a.embed.z_bias},
                                    edges, at, normal, inverse);
    } else if constexpr (kRounds) {
      for (std::int64_t k = 0; k < edges; ++k)
        for_vectors<T, kD>(d, [&](std::int64_t i, auto lanes) {
          store(states + k * width + i, round(load(a.edge + (begin + k) * d + i, lanes)));
        });
      centred_z<kD, kBackwardEdges>(a, {d, {states, width, 1}, nullptr}, edges, at, normal, inverse);
    } else {
      centred_z<kD, kBackwardEdges>(a, {d, {a.edge + begin * d, d, 1}, nullptr}, edges, at, normal, inverse);
    }
    const Walk start = at;
    for (std::int64_t k = 0; k < edges; ++k, at.next()) {
      const T *t = a.t + at.row * d, *s = a.s + at.col * d;
      const T* grad_f = g.grad_row_sum ? g.grad_row_sum + at.row * 2 * d : zeros;
      const T* grad_r = g.grad_column_sum ? g.grad_column_sum + at.col * 2 * d : zeros;
      T *x = normal + k * width, *y = gate + k * width, *gz = grad + k * width;
      T* grad_t = g.grad_target + at.row * 4 * d + 3 * d;
      T* grad_s = g.grad_column + at.col * 2 * d + d;
      const Vector<T> scale = broadcast(inverse[k]);
      Vector<T> sum{}, dot{};
      for_vectors<T, kD>(d, [&](std::int64_t i, auto lanes) {
        const Vector<T> n = load(x + i) * scale, gamma = load(a.gamma + i, lanes);
        const Vector<T> pre = gamma * n + load(a.beta + i, lanes), open = sigmoid_lanes(pre), value = pre * open;
        const Vector<T> f = g.per_row * load(grad_f + i, lanes), r = g.per_column * load(grad_r + i, lanes);
        store(x + i, n);
        store(y + i, operand(value));
        store(grad_s + i, load(grad_s + i, lanes) + f * value, lanes);
        store(grad_t + i, load(grad_t + i, lanes) + r * value, lanes);
        const Vector<T> grad_gate = load(gz + i) + f * load(s + i, lanes) + r * load(t + i, lanes);
        const Vector<T> grad_pre = keep<T>(grad_gate * (open * (1 + pre * (1 - open))), lanes);
        store(grad_gamma + i, load(grad_gamma + i, lanes) + grad_pre * n, lanes);
        store(grad_beta + i, load(grad_beta + i, lanes) + grad_pre, lanes);
        const Vector<T> grad_normal = grad_pre * gamma;
        store(gz + i, grad_normal);
        sum += grad_normal;
        dot += grad_normal * n;
      });
      mean[k] = lane_sum<T>(sum) * share;
      slope[k] = lane_sum<T>(dot) * share;
    }
    at = start;
    for (std::int64_t k = 0; k < edges; ++k, at.next()) {
      const T* x = normal + k * width;
      T* gz = grad + k * width;
      T* grad_u = g.grad_target + at.row * 4 * d;
      T* grad_v = g.grad_column + at.col * 2 * d;
      const Vector<T> scale = broadcast(inverse[k]), centre = broadcast(mean[k]), tilt = broadcast(slope[k]);
      for_vectors<T, kD>(d, [&](std::int64_t i, auto lanes) {
        const Vector<T> z = (load(gz + i) - centre - load(x + i) * tilt) * scale;
        store(gz + i, operand(z));
        store(grad_u + i, load(grad_u + i, lanes) + z, lanes);
        store(grad_v + i, load(grad_v + i, lanes) + z, lanes);
      });
    }
    // The weights' gradients are products over the tile's edges: of gradients and what was multiplied.
    const auto whole_rows = [&](const T* from) -> const T* {
      if (width == d) return from;
      for (std::int64_t k = 0; k < edges; ++k)
        for (std::int64_t i = 0; i < width; ++i) states[k * width + i] = i < d ? from[k * d + i] : T(0);
      return states;
    };
    const auto add_to = [&](T* to) {
      return [to, d](std::int64_t i, std::int64_t j, Vector<T> sum, auto lanes) {
        store(to + i * d + j, load(to + i * d + j, lanes) + sum, lanes);
      };
    };
    if (grad_out)
      multiply<kD>(d, d, edges, kRounds ? Left<T>{scaled, 1, width} : Left<T>{grad_out, 1, d},
                   row_major<T>(gate, width), add_to(g.grad_g));
    if constexpr (kForms) {
      const Left<T> feature{features, kInputEdges, 1};
      multiply<kD>(terms + 1, d, edges, feature, row_major<T>(grad, width), add_to(g.grad_c));
      if (grad_out)
        multiply<kD>(terms + 1, d, edges, feature, row_major(whole_rows(grad_out), width), add_to(g.grad_embed));
      continue;
    }
    multiply<kD>(d, d, edges, Left<T>{grad, 1, width},
                 row_major<T>(kRounds ? states : whole_rows(a.edge + begin * d), width), add_to(g.grad_c));
    if (g.grad_edge) {  // last: grad_out may be its memory
      T* grad_edge = g.grad_edge + begin * d;
      const bool adds = grad_out != nullptr && grad_out != grad_edge;
      multiply<kD>(edges, d, d, Left<T>{grad, width, 1}, packed(g.packed_c, d),
                   [&](std::int64_t k, std::int64_t i, Vector<T> sum, auto lanes) {
                     T* to = grad_edge + k * d + i;
                     Vector<T> value = load(to, lanes) + sum;
                     if (adds) value += load(grad_out + k * d + i, lanes);
                     store(to, value, lanes);
                   });
    }
  }
}

/// body(d), a constant: the number of channels where loops are compiled for it, else 0.
template <class T, class Body>
void for_width(std::int64_t d, const Body& body) {
  if constexpr (sizeof(T) == 4) switch (d) {
      case 16: return body(std::integral_constant<int, 16>{});
      case 32: return body(std::integral_constant<int, 32>{});
      case 64: return body(std::integral_constant<int, 64>{});
      case 128: return body(std::integral_constant<int, 128>{});
    }
  body(std::integral_constant<int, 0>{});
}

/// grad_g holds P = sum_k grad_out_k g_k^T so far: grad_G is alpha P row by row, and as grad_alpha_i = sum_k
/// grad_out_ki (G g_k)_i = sum_j G_ij P_ij, the product G g is not needed again. Rounded, P is grad_G already: alpha
/// was in its operand.
template <class T>
void finish_weight_g(const EdgeUpdateRowsGradient<T>& g) {
  const std::int64_t d = g.forward.d;
  const bool rounded = g.forward.precision != Precision::float32;
  T* grad_alpha = g.grad_modulation + 2 * d;
  for (std::int64_t i = 0; i < d; ++i) {
    const T alpha = g.forward.alpha[i];
    T sum = T(0);
    for (std::int64_t j = 0; j < d; ++j) {
      T& p = g.grad_g[i * d + j];
      sum += g.weight_g[i * d + j] * p;
      if (!rounded) p *= alpha;
    }
    grad_alpha[i] += rounded ? sum / alpha : sum;
  }
}

/// body(d, states), both constants.
template <class T, class Body>
void for_layer(const EdgeUpdateRows<T>& a, const Body& body) {
  for_width<T>(a.d, [&](auto d) {
    if constexpr (sizeof(T) == 4)
      if (a.precision != Precision::float32) return body(d, std::integral_constant<States, States::rounded>{});
    if (a.embed.input.width > 0) return body(d, std::integral_constant<States, States::formed>{});
    body(d, std::integral_constant<States, States::given>{});
  });
}

template <class T>
void edge_update_forward(const EdgeUpdateRows<T>& a) {
  for_layer(a, [&](auto d, auto states) { edge_update_rows<d, states>(a); });
}

template <class T>
void edge_update_backward(const EdgeUpdateRowsGradient<T>& g) {
  for_layer(g.forward, [&](auto d, auto states) { edge_update_rows_backward<d, states>(g); });
  if (g.grad_out) finish_weight_g(g);
}

}  // namespace amend::kernels::cpu::AMEND_VECTOR_TARGET
