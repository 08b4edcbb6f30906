#pragma once

#include <cstddef>
#include <memory>

#include "engine/device.hpp"

namespace amend {

/// Every buffer starts on such a boundary: one cache line, and the widest vector load.
inline constexpr std::size_t kAlignment = 64;

/// Zero-filled memory on `device` that frees itself. Throws Error when there is not enough; the message says how many
/// bytes were asked for.
std::shared_ptr<void> allocate(std::size_t bytes, Device device);

/// Number of buffers `allocate` has handed out since the program started; a steady-state step leaves it unchanged.
std::size_t allocation_count();

}  // namespace amend
