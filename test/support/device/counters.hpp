#pragma once

// What the tests of test/device ask of the device that they run on: the emulated one (device.hpp) or a GPU
// (real_device.cpp).

namespace amend::test::device {

/// What has happened since the program started.
struct Counters {
  int copies_to_device = 0, copies_to_host = 0, copies_on_device = 0;
  int synchronisations = 0;  // freeing memory included
  int waits = 0;             // for an event that was not reached
  int allocations = 0;       // of device or pinned memory
  int kernels = 0;           // passes, by the host or in a graph
  int queued = 0;            // passes that the host queued one by one
  int graphs = 0;            // launches of graphs

  Counters operator-(const Counters& before) const {
    return {copies_to_device - before.copies_to_device,
            copies_to_host - before.copies_to_host,
            copies_on_device - before.copies_on_device,
            synchronisations - before.synchronisations,
            waits - before.waits,
            allocations - before.allocations,
            kernels - before.kernels,
            queued - before.queued,
            graphs - before.graphs};
  }
};

/// Whether the device counts. One that does not leaves the counters at zero.
bool has_counters();
Counters counters();

/// While one of these lives no step is repeated as a graph: every pass is queued by the host.
struct WithoutGraphs {
  WithoutGraphs();
  ~WithoutGraphs();
};

}  // namespace amend::test::device
