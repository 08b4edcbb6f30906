#pragma once

// The inner loops of the CPU kernels, compiled for several instruction sets, and the choice among them: the best that
// the processor has, made once.

#include <cstdint>
#include <span>

#include "engine/bfloat16.hpp"
#include "kernels/feature_math.hpp"
#include "kernels/precision.hpp"

namespace amend::kernels::cpu {

/// c (m, n) = alpha a (m, k) b (k, n) + beta c; with beta 0 c is not read, and with alpha 1 too every row may begin
/// with a bias. Element (i, l) of a is a[i * a_row + l * a_term], element (l, j) of b is b[l * b_row + j * b_column];
/// rows of c are c_row apart.
template <class T>
struct SmallProduct {
  std::int64_t m, n, k;
  T alpha;
  const T* a;
  std::int64_t a_row, a_term;
  const T* b;
  std::int64_t b_row, b_column;
  const T* b_packed;  // what `pack` made of b, which is then not read; or null
  T beta;
  const T* bias;  // (n) or null
  T* c;
  std::int64_t c_row;
  T* room;  // without b_packed: for k rows of Functions::packed_width(n)
};

/// to (rows, columns) = a w^T + bias, with `a` of rows a_row apart and `w` of rows w_row apart, both of `terms`
/// elements.
template <class T>
struct DotProducts {
  std::int64_t rows, columns, terms;
  const T* a;
  std::int64_t a_row;
  const T* w;
  std::int64_t w_row;
  const T* bias;  // (columns) or null
  T* to;
};

/// A matrix of elements (i, j) = data[i * row + j * column] as the right factor of products, packed into
/// rows * Functions::packed_width(columns) elements.
template <class T>
struct PackedMatrix {
  std::int64_t rows, columns;
  const T* data;
  std::int64_t row, column;
  T* packed;
};

/// Rows of a matrix by their non-zeros, columns ascending: those of row r are the entries begin[r] .. begin[r + 1] - 1.
template <class T>
struct SparseRows {
  const std::int32_t* begin;  // (rows + 1)
  const std::int32_t* column;
  const T* value;
};

/// The same matrix by its columns, rows ascending.
template <class T>
struct SparseColumns {
  const std::int32_t* begin;  // (columns + 1)
  const std::int32_t* row;
  const T* value;
};

/// Places behind the last entry that finding the next ones may overwrite.
inline constexpr std::int64_t kSparseRoom = 16;

/// Where the non-zeros of (rows, columns) rows go. Row r is data[index[r]], or data[r].
template <class T>
struct CompressedRows {
  std::int64_t rows, columns;
  const T* data;
  const std::int32_t* index;     // (rows) or null
  std::int64_t most;             // entries
  std::int32_t *begin, *column;  // (rows + 1), (most + columns + kSparseRoom)
  T* value;                      // (most + columns + kSparseRoom)
};

/// c (rows, columns) = a (rows, terms) b (terms, columns) + bias: the bits of a SmallProduct.
template <class T>
struct SparseProduct {
  std::int64_t rows, columns, terms;
  SparseRows<T> a;
  const T* packed;  // b
  const T* bias;    // (columns) or null
  T* c;
};

/// c (columns, terms) = d^T (a + base) with d (rows, columns) and a (rows, terms). By a's columns, where they are
/// given: sums stay in registers. By its rows without a base: the bits of a SmallProduct.
template <class T>
struct SparseOuter {
  std::int64_t rows, columns, terms;
  SparseRows<T> a;
  SparseColumns<T> a_columns;  // or null pointers
  const T* base;               // (terms), the same for every row, or null
  const T* d;
  T* sums;  // room for terms * Functions::packed_width(1)
  T* c;
};

/// What features of the weights of some target rows of one block are formed from: see kernels/edge_input.hpp.
template <class T>
struct FirstFeatureRows {
  EdgeScales<T> scales;
  int kind;                             // of the block
  const T *weight, *fisher, *gradient;  // (rows * cols); gradient may be null
  const T *rms, *energy;                // (cols), (rows)
};
template <class T>
struct RefineFeatureRows {
  RefineScales<T> scales;
  std::int64_t objectives;
  const T* gradient_rms;                                 // (objectives)
  const T *weight, *edited, *logit, *residual, *fisher;  // (rows * cols)
  const T* gradient;                                     // of an objective, gradient_step apart
  std::int64_t gradient_step;
  const T* step;  // (rows * cols, objectives)
};

/// What is read of the edges of consecutive target rows of one block.
template <class T>
struct EdgeInputRows {
  enum class Kind { rows, narrow_rows, first, refine };
  std::int64_t width = 0;
  Kind kind = Kind::rows;
  const T* rows = nullptr;                // (rows * cols, width)
  const BFloat16* narrow_rows = nullptr;  // the same
  FirstFeatureRows<T> first{};
  RefineFeatureRows<T> refine{};
};

/// What the states of a first message layer are, e = W f + b: see kernels/edge_embed_update.hpp.
template <class T>
struct EmbeddingRows {
  EdgeInputRows<T> input;            // features; of width 0 where states are given
  const T* packed_weight = nullptr;  // W^T
  const T* bias = nullptr;           // (D)
  const T* z_bias = nullptr;         // (D): C b
};

/// The message layer on consecutive target rows of one block: see kernels/edge_update.hpp. z = C e + u + v without its
/// mean over the channels, which the layer norm would take away: C's columns, u and v come without theirs.
template <class T>
struct EdgeUpdateRows {
  std::int64_t d, rows, cols;
  Precision precision;            // of operands: C and G come rounded; others than float32 of float, without `embed`
  const T* edge;                  // (rows * cols, D), or null and
  const BFloat16* narrow_edge;    // the same; or null and
  EmbeddingRows<T> embed;         // what they are formed from: C W stands for C then
  const T *u, *t;                 // (rows, D), of the target neurons
  const T *v, *s;                 // (cols, D), of the source neurons
  const T *gamma, *beta, *alpha;  // (D)
  const T *packed_c, *packed_g;   // C^T and G^T
  T* edge_out;                    // (rows * cols, D), or null and
  BFloat16* narrow_out;           // the same
  T* row_sum;                     // 2 D apart, of g s_j: added to
  T* column_sum;                  // (cols, D), of g t_i: added to
  T* scratch;                     // room for Functions::edge_update_scratch(d, width), of the features or 0
};

template <class T>
struct EdgeUpdateRowsGradient {
  EdgeUpdateRows<T> forward;                // without G and outputs
  const T *packed_c, *packed_g;             // C, with grad_edge only, and G
  const T* weight_g;                        // (D, D)
  const T* grad_out;                        // (rows * cols, D) or null
  const T *grad_row_sum, *grad_column_sum;  // of the first of the rows and of source neuron 0, 2 D apart; null: zero
  T per_row, per_column;                    // what the sums are multiplied with
  T* grad_edge;                             // (rows * cols, D) or null
  T* grad_target;                           // 4 D apart, of u and t
  T* grad_column;                           // (cols, 2 D), of v and s
  T *grad_c, *grad_g;                       // (D, D); with features grad_c is (width + 1, D): sums of f z', a 1 after f
  T* grad_embed;                            // with features: (width + 1, D), the same of grad_out
  T* grad_modulation;                       // (3 D)
};

/// The node half of a message layer on consecutive nodes of one network: see kernels/node_update.hpp. Of W1, (F, in)
/// with `in` = H + M + P, every row is without its mean.
template <class T>
struct NodeUpdateRows {
  std::int64_t rows, h, m, in, f;
  const T *node, *aggregate;            // (rows, H), (rows, M)
  T condition_mean, condition_squares;  // of the network's condition: mean, sum of squared distances from it
  T epsilon;
  const T* start;              // (F): W1 applied to the condition
  const T *packed1, *packed2;  // W1^T, W2^T
  const T *bias1, *bias2;      // (F), (H)
  const T* alpha;              // (H)
  T* out;                      // (rows, H); may be `node`
  T* scratch;                  // room for Functions::node_update_scratch(f)
};

/// States from features on consecutive target rows of one block: see kernels/edge_embed.hpp.
template <class T>
struct EdgeEmbedRows {
  std::int64_t d, rows, cols;
  EdgeInputRows<T> input;  // features
  const T* packed_weight;  // W^T
  const T* bias;           // (D)
  T* out;                  // (rows * cols, D)
  T* scratch;              // room for Functions::edge_embed_scratch(width, d)
};

/// Gradients are added to; that of W is transposed.
template <class T>
struct EdgeEmbedRowsGradient {
  EdgeEmbedRows<T> forward;    // without W, bias and out
  const T* grad_out;           // (rows * cols, D)
  T *grad_weight, *grad_bias;  // (width, D), (D)
};

/// The network of every weight on consecutive target rows of one block: see kernels/edit_head.hpp. Projections are 2 H
/// apart, H values each of u and v.
template <class T>
struct EditHeadRows {
  std::int64_t d, d2, h, outputs, rows, cols;
  EdgeInputRows<T> edge, edge2;             // D and D2 wide
  const T *target, *source;                 // projections of the first of the rows and of source neuron 0
  const T* bias;                            // (H), of the kind
  const T *packed_weight, *packed_weight2;  // W^T and W2^T
  const T* packed_mix;                      // transposed; may be null
  const T *head, *head_bias;                // (outputs, H), (outputs)
  T* out;                                   // (rows * cols, outputs)
  T* scratch;                               // room for Functions::edit_head_scratch(h, d, d2)
};

/// Gradients are added to; those of W and W2 are transposed.
template <class T>
struct EditHeadRowsGradient {
  EditHeadRows<T> forward;                                             // without out
  const T *packed_weight, *packed_weight2, *packed_mix, *packed_head;  // not transposed; W's with grad_edge only
  const T* grad_out;                                                   // (rows * cols, outputs)
  T *grad_edge, *grad_edge2;                                           // (rows * cols, D), (rows * cols, D2) or null
  bool fresh_edge;                                                     // grad_edge is written, not added to
  T* grad_target;                                                      // 2 H apart, of u
  T* grad_column;                                                      // (cols, H), of v
  T *grad_weight, *grad_weight2, *grad_mix, *grad_head;                // (D, H), (D2, H), (H, H), (outputs, H)
  T *grad_head_bias, *grad_bias;                                       // (outputs), (H)
};

template <class T>
struct Functions {
  std::int64_t (*packed_width)(std::int64_t columns);
  void (*pack)(const PackedMatrix<T>&);
  void (*product)(const SmallProduct<T>&);
  void (*dots)(const DotProducts<T>&);
  bool (*compress)(const CompressedRows<T>&);  // false where there are more than `most`
  void (*sparse_product)(const SparseProduct<T>&);
  void (*sparse_outer)(const SparseOuter<T>&);
  /// Layer norm of a row in place, given what is added to the variance; returns the inverse deviation.
  T (*normalise_row)(T* x, std::int64_t width, T epsilon);
  void (*silu_row)(const T* x, std::int64_t count, T* y);
  std::int64_t (*edge_update_scratch)(std::int64_t d, std::int64_t width);
  void (*edge_update_forward)(const EdgeUpdateRows<T>&);
  void (*edge_update_backward)(const EdgeUpdateRowsGradient<T>&);
  std::int64_t (*node_update_scratch)(std::int64_t f);
  void (*node_update_forward)(const NodeUpdateRows<T>&);
  std::int64_t (*edge_embed_scratch)(std::int64_t width, std::int64_t d);
  void (*edge_embed_forward)(const EdgeEmbedRows<T>&);
  void (*edge_embed_backward)(const EdgeEmbedRowsGradient<T>&);
  std::int64_t (*edit_head_scratch)(std::int64_t h, std::int64_t d, std::int64_t d2);
  void (*edit_head_forward)(const EditHeadRows<T>&);
  void (*edit_head_backward)(const EditHeadRowsGradient<T>&);
};

struct VectorFunctions {
  const char* target;  // the instruction set, as g++ calls it
  Functions<float> float32;
  Functions<double> float64;

  template <class T>
  const Functions<T>& of() const {
    if constexpr (sizeof(T) == sizeof(float))
      return float32;
    else
      return float64;
  }
};

/// What this processor can run, the best first.
std::span<const VectorFunctions* const> supported_vector_functions();

/// Those in use: the best, unless the environment variable AMEND_VECTOR_TARGET names another one that is supported.
const VectorFunctions& vector_functions();
/// For tests: takes these from now on.
void use_vector_functions(const VectorFunctions& functions);

}  // namespace amend::kernels::cpu
