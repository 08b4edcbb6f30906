#include "engine/tensor.hpp"

#include <algorithm>

#include "engine/memory.hpp"

namespace amend {

std::size_t size_of(DType dtype) {
  switch (dtype) {
    case DType::float32: return 4;
    case DType::float64: return 8;
    case DType::int32: return 4;
    case DType::bfloat16: return 2;
  }
  fail("dtype", "unknown element type ", static_cast<int>(dtype));
}

std::string to_string(DType dtype) {
  switch (dtype) {
    case DType::float32: return "float32";
    case DType::float64: return "float64";
    case DType::int32: return "int32";
    case DType::bfloat16: return "bfloat16";
  }
  fail("dtype", "unknown element type ", static_cast<int>(dtype));
}

Shape::Shape(std::initializer_list<std::int64_t> extents) {
  check(extents.size() <= kMaxRank, "shape", "expected at most ", kMaxRank, " axes, got ", extents.size());
  for (std::int64_t extent : extents) {
    check(extent >= 0, "shape", "expected an extent of 0 or more, got ", extent);
    extents_[static_cast<std::size_t>(rank_++)] = extent;
  }
}

std::int64_t Shape::count() const {
  std::int64_t product = 1;
  for (int axis = 0; axis < rank_; ++axis) product *= (*this)[axis];
  return product;
}

std::string to_string(const Shape& shape) {
  std::string text = "(";
  for (int axis = 0; axis < shape.rank(); ++axis) text += (axis ? ", " : "") + std::to_string(shape[axis]);
  return text + ")";
}

TensorView reshape(const TensorView& view, Shape shape) {
  check(shape.count() == view.count(), "reshape", "expected ", view.count(), " elements, got ", shape);
  TensorView result = view;
  result.shape = shape;
  return result;
}

TensorView slice_rows(const TensorView& view, std::int64_t first, std::int64_t count) {
  const int rank = view.shape.rank();
  check(rank >= 1 && first >= 0 && count >= 0 && first + count <= view.extent(0), "slice_rows", "rows ", first, " to ",
        first + count, " are outside ", view.shape);
  const std::int64_t row = view.extent(0) ? view.count() / view.extent(0) : 0;
  TensorView result = view;
  result.data = static_cast<char*>(view.data) + static_cast<std::size_t>(first * row) * size_of(view.dtype);
  switch (rank) {
    case 1: result.shape = {count}; break;
    case 2: result.shape = {count, view.extent(1)}; break;
    case 3: result.shape = {count, view.extent(1), view.extent(2)}; break;
    default: result.shape = {count, view.extent(1), view.extent(2), view.extent(3)};
  }
  return result;
}

Tensor::Tensor(Shape shape, DType dtype, Device device) {
  view_.shape = shape;
  view_.dtype = dtype;
  view_.device = device;
  storage_ = allocate(std::max<std::size_t>(view_.bytes(), 1), device);
  view_.data = storage_.get();
}

}  // namespace amend
