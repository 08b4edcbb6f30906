#include "engine/copy.hpp"

#include <cstring>

#include "engine/cuda/runtime.hpp"

namespace amend {

void copy(const TensorView& to, const TensorView& from, Stream stream) {
  check(to.shape == from.shape && to.dtype == from.dtype, "copy", "expected ", from.shape, " of ", from.dtype,
        " to copy to, got ", to.shape, " of ", to.dtype);
  if (to.bytes() == 0) return;
  if (!to.device.is_cuda() && !from.device.is_cuda()) {
    std::memcpy(to.data, from.data, to.bytes());
    return;
  }
  check(stream.device().is_cuda() && (!to.device.is_cuda() || to.device == stream.device()) &&
            (!from.device.is_cuda() || from.device == stream.device()),
        "copy", "from ", from.device, " to ", to.device, " on a stream of ", stream.device());
  const auto kind = !to.device.is_cuda()     ? cuda::Copy::to_host
                    : !from.device.is_cuda() ? cuda::Copy::to_device
                                             : cuda::Copy::on_device;
  cuda::copy(to.data, from.data, to.bytes(), kind, stream);
  if (kind == cuda::Copy::to_host) cuda::synchronise(stream);
}

Tensor host_copy(const TensorView& from, Stream stream) {
  Tensor result(from.shape, from.dtype);
  copy(result, from, stream);
  return result;
}

void zero(const TensorView& tensor, Stream stream) {
  if (tensor.bytes() == 0) return;
  if (tensor.device.is_cuda())
    cuda::zero(tensor.data, tensor.bytes(), stream);
  else
    std::memset(tensor.data, 0, tensor.bytes());
}

void synchronise(Stream stream) {
  if (stream.device().is_cuda()) cuda::synchronise(stream);
}

}  // namespace amend
