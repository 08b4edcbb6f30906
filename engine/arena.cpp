#include "engine/arena.hpp"

#include <algorithm>
#include <cstring>

#include "engine/memory.hpp"

namespace amend {

Arena::Arena(Device device, std::size_t chunk_bytes) : device_(device), chunk_bytes_(chunk_bytes) {
  if (device.is_cuda()) host_ = std::make_unique<Arena>(Device::cpu(), std::size_t{1} << 16);
}

void* Arena::allocate(std::size_t bytes) {
  const std::size_t rounded = std::max<std::size_t>((bytes + kAlignment - 1) / kAlignment * kAlignment, kAlignment);
  while (chunk_ < chunks_.size() && offset_ + rounded > chunks_[chunk_].bytes) {
    ++chunk_;
    offset_ = 0;
  }
  if (chunk_ == chunks_.size()) {
    const std::size_t size = std::max(chunk_bytes_, rounded);
    chunks_.push_back({amend::allocate(size, device_), size});
    capacity_ += size;
    offset_ = 0;
  }
  void* data = static_cast<char*>(chunks_[chunk_].memory.get()) + offset_;
  offset_ += rounded;
  used_ += rounded;
  return data;
}

TensorView Arena::tensor(Shape shape, DType dtype) {
  TensorView view;
  view.shape = shape;
  view.dtype = dtype;
  view.device = device_;
  view.data = allocate(view.bytes());
  return view;
}

TensorView Arena::zeros(Shape shape, DType dtype) {
  TensorView view = tensor(shape, dtype);
  check(!device_.is_cuda(), "arena", "zeros on ", to_string(device_), " needs the CUDA engine, which this build lacks");
  std::memset(view.data, 0, view.bytes());
  return view;
}

void Arena::reset() {
  chunk_ = offset_ = used_ = 0;
  if (host_) host_->reset();
}

void Arena::rewind(const Mark& mark) {
  chunk_ = mark.chunk;
  offset_ = mark.offset;
  used_ = mark.used;
}

void* Arena::host_bytes(std::size_t bytes) { return host_ ? host_->allocate(bytes) : allocate(bytes); }

}  // namespace amend
