#pragma once

#include "engine/stream.hpp"
#include "engine/tensor.hpp"

namespace amend {

/// Copies all elements between tensors of one shape and type. To and on a device the copy is queued, and host memory
/// may be changed when the call returns; to the host the call waits for the stream.
void copy(const TensorView& to, const TensorView& from, Stream stream);

/// The same values in host memory; waits for the stream when they are on a device.
Tensor host_copy(const TensorView& from, Stream stream);

/// Sets all bytes to 0.
void zero(const TensorView& tensor, Stream stream);

/// Waits until all that is queued is done. On the CPU it always is.
void synchronise(Stream stream);

}  // namespace amend
