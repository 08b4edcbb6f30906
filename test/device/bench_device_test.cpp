// What the benchmarks run on a GPU, once on the emulated device: every kernel's case, message layers, edits, training.
// Times are those of a real device alone; what is checked is that the work computes what the CPU computes, and that it
// queues without waiting, copying or allocating, which timing by events and counting launches rely on.

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>

#include "bench/measure/kernel_cases.hpp"
#include "bench/measure/measure_row.hpp"
#include "bench/measure/short_run.hpp"
#include "bench/measure/work_cases.hpp"
#include "engine/copy.hpp"
#include "engine/stream_owner.hpp"
#include "test/support/device/device.hpp"
#include "test/support/op_run.hpp"

namespace amend::test {
namespace {

using namespace bench;
using kernels::Precision;

Workload small_workload() {
  Workload small = workload("b");
  small.widths = {5, 3, 2};
  small.edge_width = 16;
  small.node_width = 8;
  small.passes = 2;
  small.probe_rows = 8;
  return small;
}

struct Named {
  const char* name;
  Family family;
  double bound;  // of the error relative to float64
};

/// bf16 keeps 8 bits, of operands and of states: 4e-3 of each number that is rounded.
std::vector<Named> kernel_families() {
  KernelSize size{.widths = {5, 4, 3, 2}, .d = 16, .h = 16, .rows = 8};
  std::vector<Named> families{{"edge_embed", edge_embed_family(size), 1e-5},
                              {"edit_head", edit_head_family(size), 1e-5},
                              {"probe", probe_family(size), 1e-5},
                              {"subject_forward", subject_forward_family(size), 1e-5},
                              {"subject_backward", subject_backward_family(size), 1e-5},
                              {"divergence", divergence_family(size), 1e-5},
                              {"gate", gate_family(size), 1e-5},
                              {"adamw", adamw_family(100), 1e-5}};
  size.messages = 2;
  for (const auto& [precision, bound] :
       {std::pair{Precision::float32, 1e-5}, std::pair{Precision::tf32, 1e-2}, std::pair{Precision::bf16, 1e-1}}) {
    size.precision = precision;
    families.push_back({"edge_update_forward", edge_update_forward_family(size), bound});
    families.push_back({"edge_update_backward", edge_update_backward_family(size), bound});
    families.push_back({"edge_embed_update_forward", edge_embed_update_forward_family(size), bound});
    families.push_back({"edge_embed_update_backward", edge_embed_update_backward_family(size), bound});
    families.push_back({"message_layers", message_layers_family(size), bound});
    families.push_back({"layer_by_layer", layer_by_layer_family(size), bound});
  }
  return families;
}

/// Runs a case again and expects that it only queues.
void expect_only_queues(const Case& which) {
  synchronise(which.stream);
  const device::Counters before = device::counters();
  which.run();
  const device::Counters happened = device::counters() - before;
  CHECK(happened.copies_to_device + happened.copies_to_host == 0);
  CHECK(happened.synchronisations + happened.waits == 0);
  CHECK(happened.allocations == 0);
}

TEST_CASE("cases of kernels on a device compute what the CPU does in float64 and only queue") {
  const StreamOwner stream(Device::cuda());
  for (const Named& of : kernel_families()) {
    INFO(of.name << ", precision " << static_cast<int>(of.family.precision));
    const double error = error_of(of.family, stream), on_cpu = error_of(of.family, Stream());
    CHECK(error > 0.0);
    CHECK(error < of.bound);
    CHECK(error < 4 * on_cpu + 1e-6);
    const Case which = of.family.make(DType::float32, 1, stream);
    CHECK(which.memory > 0);
    CHECK_FALSE(which.host_clock);
    which.run();
    expect_only_queues(which);
  }
}

TEST_CASE("messages and edits on a device compute what the CPU does") {
  const Workload small = small_workload();
  const double messages = message_error(small, 2, Device::cuda()), edits = edit_error(small, 2, Device::cuda());
  CHECK(messages > 0.0);
  CHECK(messages < 1e-5);
  CHECK(edits > 0.0);
  CHECK(edits < 1e-5);
  const StreamOwner stream(Device::cuda());
  for (const Family& family : {message_family(small), edit_family(small, EditFrom::device)}) {
    const Case which = family.make(DType::float32, 2, stream);
    for (int run = 0; run < warmups_on(Device::cuda()); ++run) which.run();
    const int graphs = device::counters().graphs;
    expect_only_queues(which);
    CHECK(device::counters().graphs == graphs + 1);
    CHECK(which.launches() > 0);
  }
}

TEST_CASE("an edit repeated on the device is the edit, whatever came between") {
  const Workload small = small_workload();
  const Dataset dataset = tabular_dataset(small.widths.front(), small.widths.back(), 64);
  TrainedEditor trained = random_editor(small, dataset, DType::float32, Device::cuda());
  const auto networks = random_networks(small.widths, 2);
  const auto pointers = pointers_to(networks);
  const std::vector<double> lambda = bench::spread_lambda(trained, 2);
  BatchEditor editor(trained, dataset);
  CHECK_THROWS_AS(editor.repeat(), Error);
  for (const int repeats : {0, 1, 3}) {
    std::vector<float> expected;
    for (const EditResult& result : editor.edit(pointers, lambda))
      expected.insert(expected.end(), result.network.weights.begin(), result.network.weights.end());
    for (int again = 0; again < repeats; ++again) {
      const Tensor got = host_copy(editor.repeat()[0], editor.stream());
      REQUIRE(got.count() == static_cast<std::int64_t>(expected.size()));
      CHECK(std::equal(expected.begin(), expected.end(), got.as<float>()));
    }
  }
  CHECK(editor.launches() > 0);
}

TEST_CASE("edits in pieces on a device replay a graph for each") {
  EditCase which(small_workload(), 2, DType::float32, Device::cuda(), 1);
  which.upload();
  for (int run = 0; run < 2; ++run) which.run_on_device();
  const device::Counters before = device::counters();
  which.run_on_device();
  CHECK((device::counters() - before).graphs == 2);
  CHECK((device::counters() - before).copies_to_device == 0);
  CHECK(which.run().size() == 2);
}

TEST_CASE("a training step measured on a device is that of the CPU and waits for nothing") {
  const Workload small = small_workload();
  TrainingCase on_cpu(small, 2), on_device(small, 2, Device::cuda());  // one shard each
  on_cpu.run();
  for (int step = 0; step < 3; ++step) on_device.run();
  synchronise(on_device.stream());
  const device::Counters before = device::counters();
  on_device.run();
  const device::Counters happened = device::counters() - before;
  CHECK(happened.copies_to_device == 1);
  CHECK(happened.copies_to_host == 0);
  CHECK(happened.synchronisations + happened.waits == 0);
  CHECK(on_device.launches() > 0);
  CHECK(on_device.loss() == Approx(on_cpu.loss()).epsilon(1e-4));
  const std::vector<double> expected = values(on_cpu.grad()),
                            got = values(host_copy(on_device.grad(), on_device.stream()));
  CHECK(largest_difference(got, expected) < 1e-4 * largest(expected));
}

TEST_CASE("a row of a device has its error, memory and launches, or says that memory ran out") {
  const StreamOwner stream(Device::cuda());
  const Workload small = small_workload();
  const MeasureOptions once{.seconds = 0.0, .least_runs = 1, .most_runs = 1};
  const Row edit = measure_row(edit_family(small, EditFrom::host), 1, stream, once);
  CHECK(edit.note == "");
  CHECK(edit.times.median > 0.0);
  CHECK(edit.error < 1e-5);
  CHECK(edit.launches > 0);
  CHECK(edit.memory > 1 << 20);
  const Row population = measure_row(population_family({.widths = {7, 4, 2}, .steps = 2, .rows = 8}), 2, stream, once);
  CHECK(population.note == "");
  CHECK(population.times.median > 0.0);

  device::set_capacity(device::used_bytes() + (std::size_t{1} << 20));
  const Row too_large = measure_row(training_family(small), 2, stream, once);
  device::set_capacity(std::size_t{1} << 32);
  CHECK_THAT(too_large.note, Catch::Contains("out of memory"));
  CHECK_THAT(format_table({too_large}, {}), Catch::Contains("out of memory"));
}

}  // namespace
}  // namespace amend::test
