// Training on a device repeats its steps as graphs: what a step takes from the host is one upload, what it queues is
// one launch, and the results have the bits of steps that are queued kernel by kernel.

#include <catch2/catch.hpp>

#include "metanet/train/editor_trainer.hpp"
#include "requirements/registry.hpp"
#include "test/support/data_files.hpp"
#include "test/support/device/counters.hpp"
#include "test/support/editor_setup.hpp"
#include "test/support/op_run.hpp"
#include "test/support/tolerance.hpp"

namespace amend::test {
namespace {

/// What happens on the device during `work`.
template <class Work>
device::Counters count(const Work& work) {
  const device::Counters before = device::counters();
  work();
  return device::counters() - before;
}

/// Checks that `more` repeats `steps` steps more than `fewer`, and that is all.
void check_repeated(const device::Counters& more, const device::Counters& fewer, int steps) {
  if (!device::has_counters()) return;
  const device::Counters extra = more - fewer;
  CHECK(extra.graphs == steps);
  CHECK(extra.copies_to_device == steps);
  CHECK(extra.queued == 0);
  CHECK(extra.kernels > 0);
  CHECK(extra.kernels % steps == 0);
  CHECK(extra.allocations == 0);
  CHECK(extra.copies_to_host == 0);
  CHECK(extra.synchronisations == 0);
}

TEST_CASE("the steps of an editor's training are graphs, optimiser included") {
  const Dataset dataset = small_dataset(60);
  Population population = small_population(dataset, 3);
  for (std::size_t n = 0; n < 3; ++n) population.networks[n] = random_network({7, 4, 2}, Activation::relu, n);
  const EditorConfig config =
      small_config({.requirements = {"data_minimisation", "pruning"},
                    .messages = 1,
                    .passes = 2,
                    .edge_width = 16,
                    .more = "  batch: 2\n  rows: 16\n  cell_rows: 4\n  probe_rows: 12\n  probe_cell_rows: 3\n"
                            "  validation_rows: 16\n  warmup: 5\n  steps: 100\n  validations: 1\n"});
  const TemporaryFolder folder;
  const auto train = [&](std::int64_t steps) {
    return train_editor(config, population, dataset, make_requirements,
                        {.checkpoint = folder / "checkpoint", .stop_after = steps, .device = Device::cuda()})
        .editor->parameters()
        .on_host();
  };
  Tensor expected, got;
  {
    const device::WithoutGraphs plainly;
    const device::Counters happened = count([&] { expected = train(8); });
    CHECK(happened.graphs == 0);
  }
  const device::Counters few = count([&] { train(4); });
  const device::Counters many = count([&] { got = train(8); });
  CHECK(same_bits(got, expected));
  if (device::has_counters()) CHECK(few.graphs == 2);  // after two steps that find their memory
  check_repeated(many, few, 4);
}

}  // namespace
}  // namespace amend::test
