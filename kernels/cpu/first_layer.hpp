#pragma once

// What the first layer of a subject network reads. Columns of a category are zero in most rows: where no more than two
// fifths of a row tile's values are not, its products leave the zeros out. That changes no bit of a layer's output,
// unless the layer is so large that a product with all of them would be the library's.

#include <optional>

#include "kernels/cpu/gemm.hpp"
#include "kernels/cpu/subject_tile.hpp"
#include "kernels/cpu/vector/pack.hpp"

namespace amend::kernels::cpu {

/// Non-zeros of so many values up to which leaving the others out pays: a step of a sparse product takes about twice as
/// long as one of a dense one.
inline constexpr std::int64_t most_entries(std::int64_t values) { return values * 2 / 5; }

/// Scratch slots of the first layer.
enum class FirstLayerSlot { once = 33, squares, kept_a, kept_b, tile, gathered, packed, sums };

template <class T>
T* scratch(FirstLayerSlot slot, std::int64_t count) {
  return scratch<T>(static_cast<int>(slot), count);
}

/// Of begins and columns. What is kept of float32 rows outlives a call with float64 rows: apart for the two.
template <class T>
std::int32_t* index_scratch(FirstLayerSlot slot, std::int64_t count) {
  constexpr int kSlots = static_cast<int>(FirstLayerSlot::sums) + 1;
  return scratch<std::int32_t>(static_cast<int>(slot) + (sizeof(T) == sizeof(double) ? kSlots : 0), count);
}

/// Rows of a tile: (count, inputs), or without their zeros where `dense` is null.
template <class T>
struct FirstLayerRows {
  const T* dense = nullptr;
  SparseRows<T> sparse{};
  SparseColumns<T> columns{};  // the same, where rows are kept: else null pointers
};

/// The rows that all tiles of one call of a kernel read: those of x, or for each network others of them. Rows of x are
/// searched for zeros once, and sorted by column once where they are kept from call to call. Belongs to the thread that
/// made it, until it makes the next one of the same slot; any thread may call `tile`.
template <class T>
class FirstLayerInput {
 public:
  /// x (data_rows, inputs); row_index (networks, rows) or null: all rows. `kept`: for many calls.
  FirstLayerInput(const T* x, std::int64_t rows, std::int64_t inputs, FirstLayerSlot slot, bool kept,
                  const std::int32_t* row_index = nullptr)
      : x_(x), index_(row_index), rows_(rows), inputs_(inputs), kept_(kept) {
    if (index_ != nullptr) return;
    const std::int64_t tiles = subject_tiles(rows_);
    shared_index_ = index_scratch<T>(slot, tiles * index_size());
    shared_value_ = scratch<T>(slot, tiles * value_size());
    parallel_for(tiles, [&](std::int64_t t) {
      const std::int64_t first = t * kSubjectRows, count = std::min(kSubjectRows, rows_ - first);
      std::int32_t* begin = shared_index_ + t * index_size();
      T* value = shared_value_ + t * value_size();
      if (!find(first, nullptr, count, begin, value))
        begin[0] = kDense;
      else if (kept_)
        sort_by_column(count, begin, value);
    });
  }

  /// The same x, of which network b reads rows row_index[b, :].
  FirstLayerInput with_index(const TensorView& row_index) const {
    FirstLayerInput other = *this;
    other.index_ = row_index.as<std::int32_t>();
    other.rows_ = row_index.extent(1);
    return other;
  }

  const T* x() const { return x_; }

  /// Of network b, from row `first` on: all in one tile of kSubjectRows.
  FirstLayerRows<T> tile(std::int64_t b, std::int64_t first, std::int64_t count) const {
    if (index_ == nullptr) {
      const std::int64_t t = first / kSubjectRows;
      const std::int32_t* begin = shared_index_ + t * index_size();
      const T* value = shared_value_ + t * value_size();
      if (begin[0] == kDense) return {.dense = x_ + first * inputs_};
      FirstLayerRows<T> rows{.sparse = {begin + first % kSubjectRows, begin + kBegin, value}};
      const std::int32_t* by_column = begin + kBegin + entries();
      if (kept_ && first % kSubjectRows == 0 && count == std::min(kSubjectRows, rows_ - first))
        rows.columns = {by_column, by_column + inputs_ + 1, value + entries()};
      return rows;
    }
    const std::int32_t* index = index_ + b * rows_ + first;
    std::int32_t* begin = index_scratch<T>(FirstLayerSlot::tile, kBegin + entries());
    T* value = scratch<T>(FirstLayerSlot::tile, entries());
    if (take(index, count, begin, value) || find(0, index, count, begin, value))
      return {.sparse = {begin, begin + kBegin, value}};
    T* gathered = scratch<T>(FirstLayerSlot::gathered, kSubjectRows * inputs_);
    for (std::int64_t r = 0; r < count; ++r) std::copy_n(x_ + index[r] * inputs_, inputs_, gathered + r * inputs_);
    return {.dense = gathered};
  }

 private:
  static constexpr std::int64_t kBegin = kSubjectRows + 1;
  static constexpr std::int32_t kDense = -1;

  /// Of a tile: begins of the rows, columns of the entries; where they are kept, begins of the columns, rows of the
  /// entries.
  std::int64_t entries() const { return most_entries(kSubjectRows * inputs_) + inputs_ + kSparseRoom; }
  std::int64_t index_size() const { return kBegin + entries() + (kept_ ? inputs_ + 1 + entries() : 0); }
  std::int64_t value_size() const { return (kept_ ? 2 : 1) * entries(); }

  /// Writes the entries of a tile of `count` rows once more, behind themselves, column by column.
  void sort_by_column(std::int64_t count, std::int32_t* begin, T* value) const {
    const std::int32_t* column = begin + kBegin;
    std::int32_t *next = begin + kBegin + entries(), *row = next + inputs_ + 1;
    T* sorted = value + entries();
    std::fill_n(next, inputs_ + 1, 0);
    for (std::int32_t e = 0; e < begin[count]; ++e) ++next[column[e] + 1];
    for (std::int64_t j = 0; j < inputs_; ++j) next[j + 1] += next[j];
    for (std::int64_t r = 0; r < count; ++r)
      for (std::int32_t e = begin[r]; e < begin[r + 1]; ++e) {
        const std::int32_t to = next[column[e]]++;
        row[to] = static_cast<std::int32_t>(r);
        sorted[to] = value[e];
      }
    // Every begin has moved on to the next one's.
    for (std::int64_t j = inputs_; j > 0; --j) next[j] = next[j - 1];
    next[0] = 0;
  }

  bool find(std::int64_t first, const std::int32_t* index, std::int64_t count, std::int32_t* begin, T* value) const {
    return vector_functions().of<T>().compress({.rows = count,
                                                .columns = inputs_,
                                                .data = x_ + first * inputs_,
                                                .index = index,
                                                .most = most_entries(count * inputs_),
                                                .begin = begin,
                                                .column = begin + kBegin,
                                                .value = value});
  }

  /// Copies what was found in the rows before; false where nothing was.
  bool take(const std::int32_t* index, std::int64_t count, std::int32_t* begin, T* value) const {
    if (shared_index_ == nullptr) return false;
    const std::int64_t most = most_entries(count * inputs_);
    std::int32_t* column = begin + kBegin;
    std::int64_t at = 0;
    begin[0] = 0;
    for (std::int64_t r = 0; r < count; ++r) {
      const std::int64_t t = index[r] / kSubjectRows;
      const std::int32_t* from = shared_index_ + t * index_size();
      if (from[0] == kDense) return false;
      const T* from_value = shared_value_ + t * value_size();
      const std::int32_t first = from[index[r] % kSubjectRows], end = from[index[r] % kSubjectRows + 1];
      if (at + end - first > most) return false;
      for (std::int32_t e = first; e < end; ++e, ++at) {
        column[at] = from[kBegin + e];
        value[at] = from_value[e];
      }
      begin[r + 1] = static_cast<std::int32_t>(at);
    }
    return true;
  }

  const T* x_;
  const std::int32_t* index_;
  std::int64_t rows_, inputs_;  // rows of a network
  bool kept_;
  std::int32_t* shared_index_ = nullptr;  // (tiles, index_size())
  T* shared_value_ = nullptr;             // (tiles, value_size())
};

/// What kernels read that are called with x_id: those of the last two numbers are kept.
template <class T>
FirstLayerInput<T> first_layer_input(const TensorView& x, std::uint64_t x_id, const TensorView& row_index) {
  const T* data = x.as<T>();
  const std::int64_t inputs = x.extent(1);
  if (x_id == 0)
    return row_index ? FirstLayerInput<T>(data, row_index.extent(1), inputs, FirstLayerSlot::once, false,
                                          row_index.as<std::int32_t>())
                     : FirstLayerInput<T>(data, x.extent(0), inputs, FirstLayerSlot::once, false);
  struct Kept {
    std::uint64_t id = 0;
    std::optional<FirstLayerInput<T>> input;
  };
  thread_local Kept kept[2];
  thread_local int older = 0;
  for (int i = 0; i < 2; ++i)
    if (kept[i].id == x_id && kept[i].input->x() == data) {
      older = 1 - i;
      return row_index ? kept[i].input->with_index(row_index) : *kept[i].input;
    }
  Kept& next = kept[older];
  next = {0, FirstLayerInput<T>(data, x.extent(0), inputs, older == 0 ? FirstLayerSlot::kept_a : FirstLayerSlot::kept_b,
                                true)};
  next.id = x_id;
  older = 1 - older;
  return row_index ? next.input->with_index(row_index) : *next.input;
}

/// y (count, out) = x weight^T + bias
template <class T>
void first_layer(const FirstLayerRows<T>& x, std::int64_t count, std::int64_t out, std::int64_t in, const T* weight,
                 const T* bias, T* y) {
  if (x.dense != nullptr) return affine_in_order(count, out, in, x.dense, weight, bias, y);
  const T* packed = pack_matrix(weight, out, in, true, static_cast<int>(FirstLayerSlot::packed));
  vector_functions().of<T>().sparse_product(
      {.rows = count, .columns = out, .terms = in, .a = x.sparse, .packed = packed, .bias = bias, .c = y});
}

/// grad (out, in) = delta^T (x + base) with delta (count, out); base (in) is added to every row, or null.
template <class T>
void first_layer_gradient(const FirstLayerRows<T>& x, const T* base, std::int64_t count, std::int64_t out,
                          std::int64_t in, const T* delta, T* grad) {
  const Functions<T>& functions = vector_functions().of<T>();
  if (x.dense == nullptr)
    return functions.sparse_outer({.rows = count,
                                   .columns = out,
                                   .terms = in,
                                   .a = x.sparse,
                                   .a_columns = x.columns,
                                   .base = base,
                                   .d = delta,
                                   .sums = scratch<T>(FirstLayerSlot::sums, in * functions.packed_width(1)),
                                   .c = grad});
  gemm(Trans::yes, Trans::no, out, in, count, T(1), delta, out, x.dense, in, T(0), grad, in);
  if (base == nullptr) return;
  T* total = scratch<T>(FirstLayerSlot::sums, out);
  column_sums(delta, count, out, total);
  for (std::int64_t i = 0; i < out; ++i)
    for (std::int64_t j = 0; j < in; ++j) grad[i * in + j] += total[i] * base[j];
}

}  // namespace amend::kernels::cpu
