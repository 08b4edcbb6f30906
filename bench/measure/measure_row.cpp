#include "bench/measure/measure_row.hpp"

#include <new>

#include "engine/out_of_memory.hpp"

namespace amend::bench {

Row measure_case(const Case& which, const MemoryUse& memory, MeasureOptions options) {
  const auto watch = which.host_clock ? make_host_stopwatch(which.stream) : make_stopwatch(which.stream);
  options.warmups = warmups_on(which.stream.device());
  options.calls = which.calls;
  Row row;
  row.times = measure(*watch, which.run, options);
  row.memory = which.memory ? which.memory : memory.bytes();
  try {
    row.launches = which.launches ? which.launches() : watch->launches(which.run);
  } catch (const Error&) {
    row.launches = 0;  // what cannot be captured still has its time
  }
  return row;
}

Row measure_row(const Family& family, int networks, Stream stream, const MeasureOptions& options) {
  Row row;
  const auto out_of_memory = [&row](const char* what) {
    row = {};
    row.note = what;
  };
  try {
    const double error = error_of(family, stream);
    const MemoryUse memory(stream.device());
    row = measure_case(family.make(DType::float32, networks, stream), memory, options);
    row.error = error;
  } catch (const OutOfMemory& reason) {
    out_of_memory(reason.what());
  } catch (const std::bad_alloc&) {
    out_of_memory("out of memory of the host");
  }
  row.networks = static_cast<double>(networks);
  row.cost = family.cost(networks);
  row.precision = family.precision;
  return row;
}

}  // namespace amend::bench
