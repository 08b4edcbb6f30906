#include "engine/stream_owner.hpp"

#include "engine/cuda/runtime.hpp"

namespace amend {

StreamOwner::StreamOwner(Device device)
    : stream_(device, device.is_cuda() ? cuda::create_stream(device.index) : nullptr) {}

StreamOwner::~StreamOwner() {
  if (stream_.device().is_cuda()) cuda::destroy_stream(stream_);
}

void StreamOwner::make_current() const {
  if (stream_.device().is_cuda()) cuda::make_current(stream_.device().index);
}

}  // namespace amend
