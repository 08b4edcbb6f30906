#pragma once

// How both twins of a kernel look at their arguments: element-type dispatch and the check of a tensor's shape.

#include "kernels/kernel.hpp"

namespace amend::kernels {

/// Calls `body(T{})` with T the element type: float or double.
template <class Body>
void dispatch_float(const char* operation, DType dtype, const Body& body) {
  switch (dtype) {
    case DType::float32: return body(float{});
    case DType::float64: return body(double{});
    default: fail(operation, "expected float32 or float64, got ", to_string(dtype));
  }
}

/// Throws Error unless `view` has this shape and element type.
inline void expect(const char* operation, const char* name, const TensorView& view, const Shape& shape, DType dtype) {
  // Not `check`: it would build the texts, on the heap, for every argument of every call.
  if (view.data == nullptr && shape.count() != 0) fail(operation, "`", name, "` is missing");
  if (view.shape != shape)
    fail(operation, "expected `", name, "` of shape ", to_string(shape), ", got ", to_string(view.shape));
  if (view.dtype != dtype)
    fail(operation, "expected `", name, "` of ", to_string(dtype), ", got ", to_string(view.dtype));
}

/// The elements of an optional argument, or null.
template <class T>
T* elements(const TensorView& view) {
  return view ? view.as<T>() : nullptr;
}

}  // namespace amend::kernels
