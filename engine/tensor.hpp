#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>

#include "engine/bfloat16.hpp"
#include "engine/device.hpp"
#include "engine/error.hpp"

namespace amend {

enum class DType : std::uint8_t { float32, float64, int32, bfloat16 };

std::size_t size_of(DType dtype);
std::string to_string(DType dtype);

template <class T>
constexpr DType dtype_of();
template <>
constexpr DType dtype_of<float>() {
  return DType::float32;
}
template <>
constexpr DType dtype_of<double>() {
  return DType::float64;
}
template <>
constexpr DType dtype_of<std::int32_t>() {
  return DType::int32;
}
template <>
constexpr DType dtype_of<BFloat16>() {
  return DType::bfloat16;
}

/// Extents of a tensor, outermost first; at most four.
class Shape {
 public:
  static constexpr int kMaxRank = 4;

  Shape() = default;
  Shape(std::initializer_list<std::int64_t> extents);

  int rank() const { return rank_; }
  std::int64_t operator[](int axis) const { return extents_[static_cast<std::size_t>(axis)]; }
  /// Number of elements: 1 for rank 0.
  std::int64_t count() const;
  friend bool operator==(const Shape&, const Shape&) = default;

 private:
  std::array<std::int64_t, kMaxRank> extents_{};
  int rank_ = 0;
};

/// `(3, 4)`.
std::string to_string(const Shape& shape);

/// A dense, contiguous, row-major array that somebody else owns. Trivially copyable; kernels take nothing else.
/// An absent optional argument is a default-constructed view: `if (view)` is false.
struct TensorView {
  void* data = nullptr;
  Shape shape{0};
  DType dtype = DType::float32;
  Device device;

  explicit operator bool() const { return data != nullptr; }
  std::int64_t count() const { return shape.count(); }
  std::int64_t extent(int axis) const { return shape[axis]; }
  std::size_t bytes() const { return static_cast<std::size_t>(count()) * size_of(dtype); }

  /// Typed pointer to the first element. Throws Error when T is not the view's element type.
  template <class T>
  T* as() const {
    check(dtype == dtype_of<T>(), "tensor", "expected ", dtype_of<T>(), ", got ", dtype);
    return static_cast<T*>(data);
  }
};

/// The same memory seen with another shape of the same element count.
TensorView reshape(const TensorView& view, Shape shape);
/// Rows [first, first + count) of a view of rank one or more.
TensorView slice_rows(const TensorView& view, std::int64_t first, std::int64_t count);

/// Memory that owns itself, for what outlives a step: parameters, datasets, results. Zero-filled.
class Tensor {
 public:
  Tensor() = default;
  Tensor(Shape shape, DType dtype, Device device = Device::cpu());

  const TensorView& view() const { return view_; }
  operator const TensorView&() const { return view_; }
  explicit operator bool() const { return static_cast<bool>(view_); }
  std::int64_t count() const { return view_.count(); }
  template <class T>
  T* as() const {
    return view_.as<T>();
  }

 private:
  std::shared_ptr<void> storage_;
  TensorView view_;
};

}  // namespace amend
