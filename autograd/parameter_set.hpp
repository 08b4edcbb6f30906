#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "autograd/tape.hpp"
#include "engine/tensor.hpp"
#include "kernels/kernel.hpp"

namespace amend {

/// Named parameters of a model, one after the other in one buffer, with their gradients in another: an optimiser step
/// is one kernel. Declare all with `add`, then `allocate` once.
class ParameterSet {
 public:
  /// How a parameter starts: normal with this deviation around `mean` (deviation 0: constant).
  struct Start {
    double mean = 0.0;
    double deviation = 0.0;
  };

  struct Entry {
    std::string name;
    Shape shape;
    Start start;
    bool decays;  // whether weight decay applies: matrices, not biases and gains
    std::int64_t offset;
  };

  /// Declares a parameter and returns its index. Names are unique.
  int add(const std::string& name, Shape shape, Start start, bool decays);

  /// Fills in the memory and draws starting values: the same seed gives the same values on every device.
  void allocate(DType dtype, Device device, std::uint64_t seed);
  /// Calls `change(values)` with all values, (count), in host memory, and keeps what it leaves there. For set-up: waits
  /// for the device.
  template <class Change>
  void edit(const Change& change) {
    const Tensor values = on_host();
    change(values.view());
    set(values);
  }
  /// The values in host memory: the set's own on the CPU, a copy of those on a device.
  Tensor on_host() const;
  /// Takes over values, (count), from host memory.
  void set(const TensorView& values);

  /// The parameter as a leaf of a tape; its gradient is added to its part of `grad`, (count), or of `grad()`.
  Variable use(Tape& tape, int index, const TensorView& grad = {}) const;

  const TensorView& value() const { return value_.view(); }  // (count)
  const TensorView& grad() const { return grad_.view(); }    // (count)
  TensorView value(int index) const { return view_of(value_.view(), index); }
  TensorView grad(int index) const { return view_of(grad_.view(), index); }
  const std::vector<Entry>& entries() const { return entries_; }
  std::int64_t count() const { return count_; }
  /// Boundaries of the parameters in the buffer, as segments for the optimiser.
  kernels::Segments segments() const {
    return {static_cast<const std::int64_t*>(segments_.get()), static_cast<std::int32_t>(entries_.size())};
  }
  /// The part of a buffer of all parameters, (count), that belongs to one of them.
  TensorView view_of(const TensorView& buffer, int index) const;

 private:
  std::vector<Entry> entries_;
  std::int64_t count_ = 0;
  std::shared_ptr<void> segments_;  // offsets of the entries, and the end
  Tensor value_, grad_;
};

}  // namespace amend
