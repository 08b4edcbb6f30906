#include "autograd/parameter_set.hpp"

#include "engine/random.hpp"

namespace amend {

int ParameterSet::add(const std::string& name, Shape shape, Start start, bool decays) {
  check(!value_, "parameter_set", "`", name, "` was added after allocation");
  for (const Entry& entry : entries_) check(entry.name != name, "parameter_set", "`", name, "` was added twice");
  entries_.push_back({name, shape, start, decays, count_});
  count_ += shape.count();
  offsets_.push_back(count_);
  return static_cast<int>(entries_.size()) - 1;
}

void ParameterSet::allocate(DType dtype, Device device, std::uint64_t seed) {
  check(!device.is_cuda(), "parameter_set", "parameters on ", to_string(device), " need the CUDA engine");
  value_ = Tensor({count_}, dtype, device);
  grad_ = Tensor({count_}, dtype, device);
  for (std::size_t index = 0; index < entries_.size(); ++index) {
    const Entry& entry = entries_[index];
    const RandomStream random(seed, static_cast<std::uint32_t>(index));
    for (std::int64_t i = 0; i < entry.shape.count(); ++i) {
      const double value = entry.start.mean + entry.start.deviation * random.normal(static_cast<std::uint64_t>(i));
      if (dtype == DType::float64)
        value_.as<double>()[entry.offset + i] = value;
      else
        value_.as<float>()[entry.offset + i] = static_cast<float>(value);
    }
  }
}

Variable ParameterSet::use(Tape& tape, int index, const TensorView& grad) const {
  return tape.leaf(value(index), grad ? view_of(grad, index) : this->grad(index));
}

TensorView ParameterSet::view_of(const TensorView& buffer, int index) const {
  const Entry& entry = entries_[static_cast<std::size_t>(index)];
  return reshape(slice_rows(buffer, entry.offset, entry.shape.count()), entry.shape);
}

}  // namespace amend
