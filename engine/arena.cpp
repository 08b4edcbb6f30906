#include "engine/arena.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>

#include "engine/copy.hpp"
#include "engine/memory.hpp"

namespace amend {

Arena::Arena(Device device, std::size_t chunk_bytes) : device_(device), chunk_bytes_(chunk_bytes) {
  if (!device.is_cuda()) return;
  host_ = std::make_unique<Arena>(Device::cpu(), std::size_t{1} << 16);
  staging_ = std::make_unique<Staging>(device);
}

void* Arena::allocate(std::size_t bytes) {
  const std::size_t rounded = std::max<std::size_t>((bytes + kAlignment - 1) / kAlignment * kAlignment, kAlignment);
  while (chunk_ < chunks_.size() && offset_ + rounded > chunks_[chunk_].bytes) {
    ++chunk_;
    offset_ = 0;
  }
  if (chunk_ == chunks_.size()) {
    // A device holds a whole batch: with room to spare a tensor that is a little larger in the next one fits, too, and
    // the chunk is not left behind.
    const std::size_t wanted = device_.is_cuda() && rounded > chunk_bytes_ ? rounded + rounded / 4 : rounded,
                      size = std::max(chunk_bytes_, wanted);
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

TensorView Arena::zeros(Shape shape, DType dtype, Stream stream) {
  TensorView view = tensor(shape, dtype);
  zero(view, stream);
  return view;
}

Staging::Bytes Arena::stage(std::size_t bytes) {
  if (staging_) return staging_->allocate(bytes);
  void* memory = allocate(bytes);
  return {memory, memory};
}

Arena::Staged Arena::stage(Shape shape, DType dtype) {
  Staged staged;
  for (TensorView* view : {&staged.host, &staged.device}) {
    view->shape = shape;
    view->dtype = dtype;
  }
  const Staging::Bytes memory = stage(staged.host.bytes());
  staged.host.data = memory.host;
  staged.device.data = memory.device;
  staged.device.device = device_;
  return staged;
}

void Arena::upload(Stream stream) {
  if (staging_) staging_->upload(stream);
}

void Arena::reset() {
  chunk_ = offset_ = used_ = 0;
  if (host_) host_->reset();
  restage();
}

void Arena::restage() {
  if (staging_) staging_->reset();
}

void Arena::rewind(const Mark& mark) {
  chunk_ = mark.chunk;
  offset_ = mark.offset;
  used_ = mark.used;
}

std::optional<Arena::Place> Arena::place_after(const Mark& mark, const void* data) const {
  const char* at = static_cast<const char*>(data);
  for (std::size_t c = mark.chunk; c < chunks_.size() && c <= chunk_; ++c) {
    const char *begin = static_cast<const char*>(chunks_[c].memory.get()), *end = begin + chunks_[c].bytes;
    if (std::less<>{}(at, begin) || !std::less<>{}(at, end)) continue;
    const Place place{c, static_cast<std::size_t>(at - begin)};
    return place < Place{mark.chunk, mark.offset} ? std::nullopt : std::optional(place);
  }
  return std::nullopt;
}

void Arena::compact(const Mark& mark, std::span<TensorView* const> kept) {
  constexpr std::size_t kMost = 64;
  check(!device_.is_cuda() && kept.size() <= kMost, "arena", "expected host memory and at most ", kMost,
        " tensors to keep");
  struct Moving {
    Place place;
    TensorView* view;
  };
  std::array<Moving, kMost> moving;
  std::size_t count = 0;
  for (TensorView* view : kept)
    if (*view)
      if (const auto place = place_after(mark, view->data)) moving[count++] = {*place, view};
  // In the order of their allocation each lands at its place or before it, and on nothing that is still to be moved.
  std::sort(moving.begin(), moving.begin() + count, [](const Moving& a, const Moving& b) { return a.place < b.place; });
  rewind(mark);
  for (std::size_t i = 0; i < count; ++i) {
    const auto& [place, view] = moving[i];
    if (i > 0 && place == moving[i - 1].place) {  // the same memory
      view->data = moving[i - 1].view->data;
      continue;
    }
    void* to = allocate(view->bytes());
    check(place_after(mark, to) <= place, "arena", "expected tensors that are all of their allocation to keep");
    if (to != view->data) std::memmove(to, view->data, view->bytes());
    view->data = to;
  }
}

void* Arena::host_bytes(std::size_t bytes) { return host_ ? host_->allocate(bytes) : allocate(bytes); }

}  // namespace amend
