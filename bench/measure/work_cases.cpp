#include "bench/measure/work_cases.hpp"

#include <map>
#include <string>

#include "bench/measure/short_run.hpp"
#include "metanet/train/population_trainer.hpp"

namespace amend::bench {

namespace {

/// Steps in a row for one time on a device.
constexpr int kStepsInARow = 10;

/// Computes once for each device: rows that differ in their number of networks share it.
std::function<double(Device)> once(std::function<double(Device)> error) {
  const auto known = std::make_shared<std::map<std::string, double>>();
  return [known, error = std::move(error)](Device device) {
    const auto [found, absent] = known->try_emplace(to_string(device), 0.0);
    if (absent) {
      try {
        found->second = error(device);
      } catch (...) {
        known->erase(found);
        throw;
      }
    }
    return found->second;
  };
}

/// Share of the inputs of a row that are not zero.
double set_inputs(const Workload& of) {
  const Dataset dataset = tabular_dataset(of.widths.front(), of.widths.back(), 1);
  return static_cast<double>(dataset.features.size()) / dataset.inputs;
}

std::function<Cost(int)> cost_of_edits(const Workload& of) {
  return [of](int n) {
    return edit_cost(batch_size(of.widths, n, set_inputs(of)), editor_size(of), static_cast<double>(of.probe_rows));
  };
}

}  // namespace

Family edit_family(const Workload& of, EditFrom from, int chunk) {
  return {.make =
              [=](DType dtype, int networks, Stream stream) {
                const Device device = stream.device();
                const auto which = std::make_shared<EditCase>(of, networks, dtype, device, chunk);
                if (from == EditFrom::host || !device.is_cuda())
                  return Case{.keep = which,
                              .run = [which] { (void)which->run(); },
                              .outputs = {},
                              .stream = which->stream(),
                              .host_clock = device.is_cuda(),
                              .launches = [which] { return which->launches(); }};
                which->upload();
                return Case{.keep = which,
                            .run = [which] { which->run_on_device(); },
                            .outputs = {},
                            .stream = which->stream(),
                            .launches = [which] { return which->launches(); }};
              },
          .cost = cost_of_edits(of),
          .error = once([of](Device device) { return edit_error(of, kComparedNetworks, device); })};
}

Family edit_latency_family(const Workload& of) {
  Family family = edit_family(of, EditFrom::device);
  const auto make = family.make;
  family.make = [make](DType dtype, int networks, Stream stream) {
    Case which = make(dtype, networks, stream);
    which.host_clock = true;
    return which;
  };
  return family;
}

Family message_family(const Workload& of) {
  return {.make =
              [of](DType dtype, int networks, Stream stream) {
                const auto which = std::make_shared<MessageCase>(of, networks, dtype, stream.device());
                return Case{.keep = which,
                            .run = [which] { which->run(); },
                            .outputs = {},
                            .stream = which->stream(),
                            .launches = [which] { return which->launches(); }};
              },
          .cost =
              [of](int n) {
                Cost cost{0, 0, "K message layers"};
                for (int k = 0; k < of.messages; ++k)
                  cost += message_layer_cost(batch_size(of.widths, n), editor_size(of));
                return cost;
              },
          .error = once([of](Device device) { return message_error(of, kComparedNetworks, device); })};
}

Family training_family(const Workload& of) {
  return {.make =
              [of](DType, int networks, Stream stream) {
                const Device device = stream.device();
                const auto which = std::make_shared<TrainingCase>(of, networks, device);
                return Case{.keep = which,
                            .run = [which] { which->run(); },
                            .outputs = {},
                            .stream = which->stream(),
                            .host_clock = true,
                            .calls = device.is_cuda() ? kStepsInARow : 1,
                            .launches = [which] { return which->launches(); }};
              },
          .cost =
              [of](int n) {
                const auto rows = static_cast<double>(of.probe_rows);
                return training_step_cost(batch_size(of.widths, n, set_inputs(of)), editor_size(of), rows, rows);
              },
          .comparable = false};
}

Family population_family(const PopulationSize& size) {
  return {.make =
              [size](DType, int networks, Stream stream) {
                struct Population {
                  PopulationConfig config;
                  Dataset dataset;
                };
                const auto which = std::make_shared<Population>();
                which->dataset = tabular_dataset(size.widths.front(), size.widths.back(), 4 * size.rows);
                PopulationConfig& config = which->config;
                config.networks = networks;
                config.split = {1.0, 0.0, 0.0};
                config.widths = {{size.widths.begin() + 1, size.widths.end() - 1}};
                config.epochs = {1.0, 1.0};
                config.min_steps = size.steps;
                config.batch_size = size.rows;
                config.data_fraction = {1.0, 1.0};
                return Case{.keep = which,
                            .run =
                                [which, device = stream.device()] {
                                  (void)train_population(which->config, which->dataset, {.device = device});
                                },
                            .outputs = {},
                            .stream = stream,
                            .host_clock = true,
                            .launches = [] { return 0; }};
              },
          .cost =
              [size](int n) {
                Cost cost{0, 0,
                          std::to_string(size.steps) + " (subject_forward + subject_backward + adamw), " +
                              std::to_string(size.rows) + " rows"};
                for (int step = 0; step < size.steps; ++step)
                  cost += population_step_cost(batch_size(size.widths, n), size.rows);
                return cost;
              },
          .comparable = false};
}

}  // namespace amend::bench
