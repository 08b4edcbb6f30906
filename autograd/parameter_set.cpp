#include "autograd/parameter_set.hpp"

#include "engine/copy.hpp"
#include "engine/memory.hpp"
#include "engine/random.hpp"
#include "engine/stream_owner.hpp"

namespace amend {

int ParameterSet::add(const std::string& name, Shape shape, Start start, bool decays) {
  check(!value_, "parameter_set", "`", name, "` was added after allocation");
  for (const Entry& entry : entries_) check(entry.name != name, "parameter_set", "`", name, "` was added twice");
  entries_.push_back({name, shape, start, decays, count_});
  count_ += shape.count();
  return static_cast<int>(entries_.size()) - 1;
}

void ParameterSet::allocate(DType dtype, Device device, std::uint64_t seed) {
  value_ = Tensor({count_}, dtype, device);
  grad_ = Tensor({count_}, dtype, device);
  Tensor values = device.is_cuda() ? Tensor({count_}, dtype) : value_;
  for (std::size_t index = 0; index < entries_.size(); ++index) {
    const Entry& entry = entries_[index];
    const RandomStream random(seed, static_cast<std::uint32_t>(index));
    for (std::int64_t i = 0; i < entry.shape.count(); ++i) {
      const double value = entry.start.mean + entry.start.deviation * random.normal(static_cast<std::uint64_t>(i));
      if (dtype == DType::float64)
        values.as<double>()[entry.offset + i] = value;
      else
        values.as<float>()[entry.offset + i] = static_cast<float>(value);
    }
  }
  set(values);
  std::vector<std::int64_t> offsets;
  for (const Entry& entry : entries_) offsets.push_back(entry.offset);
  offsets.push_back(count_);
  // The element type does not matter to a copy.
  const auto bytes = static_cast<std::int64_t>(offsets.size() * sizeof(std::int64_t));
  segments_ = amend::allocate(static_cast<std::size_t>(bytes), device);
  const StreamOwner stream(device);
  copy({segments_.get(), {bytes / 4}, DType::int32, device}, {offsets.data(), {bytes / 4}, DType::int32, Device::cpu()},
       stream);
}

Tensor ParameterSet::on_host() const {
  if (!value_.view().device.is_cuda()) return value_;
  const StreamOwner stream(value_.view().device);
  return host_copy(value_, stream);
}

void ParameterSet::set(const TensorView& values) {
  if (values.data == value_.view().data) return;
  const StreamOwner stream(value_.view().device);
  copy(value_, values, stream);
  synchronise(stream);
}

Variable ParameterSet::use(Tape& tape, int index, const TensorView& grad) const {
  return tape.leaf(value(index), grad ? view_of(grad, index) : this->grad(index));
}

TensorView ParameterSet::view_of(const TensorView& buffer, int index) const {
  const Entry& entry = entries_[static_cast<std::size_t>(index)];
  return reshape(slice_rows(buffer, entry.offset, entry.shape.count()), entry.shape);
}

}  // namespace amend
