#include "bench/measure/workload.hpp"

#include <algorithm>
#include <cmath>

#include "engine/parallel.hpp"
#include "engine/random.hpp"
#include "requirements/registry.hpp"

namespace amend::bench {

Workload workload(const std::string& name) {
  if (name == "a") return {.name = "a", .edge_width = 64, .node_width = 64, .messages = 4, .passes = 1};
  if (name == "b") return {.name = "b"};
  if (name == "c") return {.name = "c", .widths = {108, 32, 16, 2}, .messages = 3, .passes = 1};
  if (name == "d") return {.name = "d", .widths = {108, 32, 16, 2}, .messages = 3};
  fail_input("workload", "expected `a`, `b`, `c` or `d`, got `", name, "`");
}

Dataset tabular_dataset(int inputs, int classes, std::int64_t rows) {
  const int numeric = std::min(inputs, 5), groups = std::min(9, inputs - numeric);
  Dataset dataset;
  dataset.name = "random table";
  dataset.source = "random";
  dataset.fingerprint = "0000000000000000";
  dataset.inputs = inputs;
  dataset.classes = classes;
  for (int c = 0; c < classes; ++c) dataset.class_names.push_back("class " + std::to_string(c));
  for (int k = 0; k < numeric; ++k)
    dataset.features.push_back({.name = "number " + std::to_string(k), .first_input = k});
  for (int g = 0, first = numeric; g < groups; ++g) {
    const int count = (inputs - first) / (groups - g);
    dataset.features.push_back({.name = "level " + std::to_string(g),
                                .kind = ColumnKind::categorical,
                                .first_input = first,
                                .input_count = count});
    first += count;
  }
  const RandomStream normal(17, 1), level(17, 2);
  for (Rows* split : {&dataset.subject_train, &dataset.editor_train, &dataset.validation, &dataset.audit}) {
    split->count = rows;
    split->input.assign(static_cast<std::size_t>(rows * inputs), 0.0f);
    for (std::int64_t r = 0; r < rows; ++r) {
      const auto at = static_cast<std::uint64_t>(r) * 64;
      float* x = split->input.data() + r * inputs;
      for (const Feature& feature : dataset.features) {
        const auto index = at + static_cast<std::uint64_t>(feature.first_input);
        if (feature.kind == ColumnKind::numeric)
          x[feature.first_input] = normal.normal(index);
        else
          x[feature.first_input +
            static_cast<int>(level.below(at + static_cast<std::uint64_t>(feature.first_input % 64),
                                         static_cast<std::uint32_t>(feature.input_count)))] = 1.0f;
      }
      split->label.push_back(static_cast<std::int32_t>(level.below(at + 63, static_cast<std::uint32_t>(classes))));
    }
  }
  return dataset;
}

std::vector<SubjectNetwork> random_networks(const std::vector<int>& widths, int count, std::uint64_t seed) {
  std::vector<SubjectNetwork> networks(static_cast<std::size_t>(count));
  parallel_for(count, [&](std::int64_t n) {
    const RandomStream random(seed, 0x6e65, static_cast<std::uint32_t>(n));
    SubjectNetwork& network = networks[static_cast<std::size_t>(n)];
    network.name = "network " + std::to_string(n);
    network.widths = widths;
    std::uint64_t draw = 0;
    for (std::size_t l = 0; l + 1 < widths.size(); ++l) {
      const float deviation = std::sqrt(2.0f / static_cast<float>(widths[l]));
      for (int k = 0; k < widths[l] * widths[l + 1]; ++k) network.weights.push_back(deviation * random.normal(draw++));
      for (int k = 0; k < widths[l + 1]; ++k) network.biases.push_back(0.3f * random.normal(draw++));
    }
  });
  return networks;
}

std::vector<const SubjectNetwork*> pointers_to(const std::vector<SubjectNetwork>& networks) {
  std::vector<const SubjectNetwork*> pointers;
  for (const SubjectNetwork& network : networks) pointers.push_back(&network);
  return pointers;
}

TrainedEditor random_editor(const Workload& workload, const Dataset& dataset, DType dtype, Device device) {
  EditorConfig config;
  config.file = "benchmark";
  config.shape.requirements = {"pruning"};
  config.lambda = {{0.0, 0.0}};  // the requirement's own range
  config.shape.edge_width = workload.edge_width;
  config.shape.node_width = workload.node_width;
  config.shape.messages = workload.messages;
  config.shape.passes = workload.passes;
  config.edit_probe_rows = config.probe_rows = config.rows = workload.probe_rows;
  TrainedEditor trained = make_editor(config, dataset, make_requirements, dtype, device);
  trained.editor->randomise(3, 0.05);
  return trained;
}

std::vector<double> spread_lambda(const TrainedEditor& trained, int networks) {
  std::vector<double> lambda;
  for (int n = 0; n < networks; ++n)
    lambda.push_back(trained.config.lambda.front().at_strength(0.1 + 0.8 * static_cast<double>(n % 8) / 7.0));
  return lambda;
}

EditCase::EditCase(const Workload& workload, int batch, DType dtype, Device device, int chunk)
    : workload_(workload),
      chunk_(chunk > 0 ? std::min(chunk, batch) : batch),
      dataset_(tabular_dataset(workload.widths.front(), workload.widths.back(), 2048)),
      trained_(random_editor(workload, dataset_, dtype, device)),
      networks_(random_networks(workload.widths, batch)),
      pointers_(pointers_to(networks_)),
      lambda_(spread_lambda(trained_, batch)),
      editor_(trained_, dataset_) {}

void EditCase::upload() {
  (void)editor_.edit(std::span(pointers_).first(static_cast<std::size_t>(chunk_)),
                     std::span(lambda_).first(static_cast<std::size_t>(chunk_) * trained_.config.lambda.size()));
}

void EditCase::run_on_device() {
  for (std::size_t first = 0; first < networks_.size(); first += static_cast<std::size_t>(chunk_)) editor_.repeat();
}

}  // namespace amend::bench
