#pragma once

#include <string>

#include "bench/measure/case.hpp"

namespace amend::bench {

/// The times of a case by the clock that suits it, with the launches of kernels in a call and the memory it took. What
/// is not of the measurement - name, threads, cost, error - is left to the caller.
Row measure_case(const Case& which, const MemoryUse& memory, MeasureOptions options);

/// A row of a family: its error first, then its times. Where memory does not suffice the row has a note that says so.
Row measure_row(const Family& family, int networks, Stream stream, const MeasureOptions& options);

}  // namespace amend::bench
