#pragma once

#include "engine/device.hpp"

namespace amend::test {

/// Where the CUDA twins of the tests run: the device that the environment variable AMEND_TWIN_DEVICE names (`cuda:0`),
/// or Device::cpu(), where it is not set, for the emulation. Read once. Throws InputError when the device cannot be
/// used.
Device twin_device();

}  // namespace amend::test
