#pragma once

#include <string>

namespace amend {

/// What the driver says of the CUDA devices of a machine, and of the one that is asked for.
struct DeviceFacts {
  int index = 0;                // the device asked for
  int count = 0;                // devices that can be seen
  bool visibility_set = false;  // CUDA_VISIBLE_DEVICES is set
  int driver_version = 0;       // 1000 major + 10 minor; 0: no driver
  int runtime_version = 0;      // what this build needs
  int capability = 0;           // 10 major + minor
  bool compiled_for = true;     // this build has code for it
  std::string error;            // what the driver says when it offers no device for another reason
  std::string failure;          // what it says when the device cannot be opened for another reason
  std::string missing_twins;    // stems that cannot run on a device yet, as a list
};

/// Empty when the device can be used, otherwise one sentence (without a full stop) that says why not.
std::string unavailable_reason(const DeviceFacts& facts);

}  // namespace amend
