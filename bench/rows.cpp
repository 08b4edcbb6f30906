// Which rows amend_bench has.
#include "bench/rows.hpp"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "bench/measure/kernel_cases.hpp"
#include "bench/measure/work_cases.hpp"

namespace amend::bench {

namespace {

using kernels::Precision;

/// Networks that an edit on a device takes at a time, as `amend edit` would: more do not make it faster.
constexpr int kChunk = 4096;

const std::pair<const char*, int> kWidths[] = {{"a", 64}, {"b", 32}};

std::string joined(const std::vector<int>& widths) {
  std::string text;
  for (const int width : widths) text += (text.empty() ? "" : "-") + std::to_string(width);
  return text;
}

/// Kernels that are of no width and of no precision.
std::vector<std::pair<std::string, Family>> plain_kernels(const KernelSize& size) {
  return {{"probe", probe_family(size)},
          {"subject_forward", subject_forward_family(size)},
          {"subject_backward", subject_backward_family(size)},
          {"divergence", divergence_family(size)},
          {"gate", gate_family(size)}};
}

std::vector<int> deep(int hidden_layers) {
  std::vector<int> widths{104};
  widths.insert(widths.end(), static_cast<std::size_t>(hidden_layers), 32);
  widths.push_back(2);
  return widths;
}

/// Networks from a thousand to a million weights.
const std::vector<std::vector<int>> kWide{{104, 8, 8, 2},     {104, 32, 16, 2},   {104, 96, 64, 2},
                                          {104, 256, 224, 2}, {104, 512, 448, 2}, {104, 1024, 832, 2}};

class Rows {
 public:
  void add(const std::string& name, const Family& family, int networks, int threads, bool cold = false) {
    std::string full = name + "/networks:" + std::to_string(networks);
    if (on_cpu_) full += "/threads:" + std::to_string(threads);
    rows_.push_back({full + (cold ? "/cold" : ""), family, networks, threads, cold});
  }
  /// Networks of every width and depth, about `weights` weights a batch.
  void add_shapes(double weights, int deep_networks, int threads) {
    for (const auto& widths : kWide) {
      Workload of = workload("b");
      of.widths = widths;
      const double each = batch_size(widths, 1).edges;
      const int networks = std::max(1, static_cast<int>(weights / each));
      const std::string suffix = "/weights:" + std::to_string(static_cast<int>(each));
      add("width/edit" + suffix, edit_family(of, EditFrom::device), networks, threads);
      add("width/edge_update_forward" + suffix, edge_update_forward_family({.widths = widths, .d = 32, .h = 32}),
          networks, threads);
    }
    for (const int depth : {1, 2, 4, 8, 16}) {
      Workload of = workload("b");
      of.widths = deep(depth);
      add("depth/edit/hidden:" + std::to_string(depth), edit_family(of, EditFrom::device), deep_networks, threads);
    }
  }
  std::vector<RowPlan> take() { return std::move(rows_); }
  explicit Rows(bool on_cpu) : on_cpu_(on_cpu) {}

 private:
  bool on_cpu_;
  std::vector<RowPlan> rows_;
};

/// Workload b with and without messages and refinement, and the names of their rows.
std::vector<std::pair<std::string, Workload>> edits_by_passes() {
  std::vector<std::pair<std::string, Workload>> edits;
  for (const int messages : {0, 1, 4})
    for (const int passes : {1, 3}) {
      Workload of = workload("b");
      of.messages = messages;
      of.passes = passes;
      edits.emplace_back("edit/D:32/K:" + std::to_string(messages) + "/T:" + std::to_string(passes), of);
    }
  return edits;
}

void add_cpu_kernels(Rows& rows, int threads) {
  const auto both = [&](const std::string& name, const Family& family) {
    for (const bool cold : {false, true})
      for (const int networks : {1, 64}) rows.add(name, family, networks, threads, cold);
    if (threads > 1) rows.add(name, family, 64, 1);
  };
  for (const auto& [label, width] : kWidths) {
    const KernelSize size{.d = width, .h = width};
    const std::string of = "/" + std::string(label);
    both("edge_update_forward" + of, edge_update_forward_family(size));
    both("edge_update_backward" + of, edge_update_backward_family(size));
    both("edge_embed" + of, edge_embed_family(size));
    both("edge_embed_update_forward" + of, edge_embed_update_forward_family(size));
    both("edge_embed_update_backward" + of, edge_embed_update_backward_family(size));
    both("edit_head" + of, edit_head_family(size));
    if (width == 64) continue;
    for (const auto& [name, family] : plain_kernels(size)) both(name + of, family);
  }
  for (const std::int64_t parameters : {std::int64_t{30'000}, std::int64_t{4'000'000}})
    rows.add("adamw/parameters:" + std::to_string(parameters), adamw_family(parameters), 1, threads);
  // Products of a row tile in the probe of a 104-32-16-2 network: forward, the error signal, gradients of weights; then
  // those of a tile of edge states.
  const ProductSize products[] = {{256, 32, 104, false, true},
                                  {256, 16, 32, false, true},
                                  {256, 32, 16},
                                  {32, 104, 256, true},
                                  {16, 32, 256, true},
                                  {240, 16, 16},
                                  {240, 32, 32},
                                  {240, 64, 64},
                                  {240, 128, 128}};
  for (const ProductSize& size : products)
    for (const bool library : {false, true})
      rows.add("product/" + std::to_string(size.m) + "x" + std::to_string(size.n) + "x" + std::to_string(size.k) +
                   (size.left_transposed    ? "/left"
                    : size.right_transposed ? "/right"
                                            : "") +
                   (library ? "/library" : ""),
               product_family(size, library), 1, 1);
}

void add_cpu_edits(Rows& rows, int threads) {
  for (const auto& [edit_name, of] : edits_by_passes())
    for (const int networks : {1, 64}) rows.add(edit_name, edit_family(of, EditFrom::host), networks, threads);
  for (const char* name : {"c", "d"})
    for (const int networks : {1, 64})
      rows.add(std::string("edit/") + name, edit_family(workload(name), EditFrom::host), networks, threads);
  for (const char* name : {"a", "b"}) {
    const Workload of = workload(name);
    const std::string suffix = std::string("/") + name;
    const Family edit = edit_family(of, EditFrom::host), messages = message_family(of), training = training_family(of);
    for (int networks = 1; networks <= 4096; networks *= 4) {  // 1 .. 4,096
      rows.add("batch/edit" + suffix, edit, networks, threads);
      if (networks <= 1024) rows.add("batch/messages" + suffix, messages, networks, threads);
    }
    rows.add("training_step" + suffix, training, 16, threads);
    for (int count = 1; count < 2 * threads; count *= 2) {
      const int used = std::min(count, threads);
      rows.add("scaling/edit" + suffix, edit, 64, used);
      rows.add("scaling/messages" + suffix, messages, 64, used);
      rows.add("scaling/training_step" + suffix, training, 16, used);
    }
  }
  rows.add("population/widths:104-32-16-2/steps:50", population_family({}), 64, threads);
}

void add_device_kernels(Rows& rows, int threads) {
  const auto sizes = [&](const std::string& name, const Family& family) {
    for (const int networks : {1, 64, 1024}) rows.add(name, family, networks, threads);
    rows.add(name, family, 64, threads, true);
  };
  for (const auto& [label, width] : kWidths) {
    const std::string of = "/" + std::string(label);
    for (const Precision precision : {Precision::float32, Precision::tf32, Precision::bf16}) {
      const KernelSize size{.d = width, .h = width, .precision = precision};
      sizes("edge_update_forward" + of + "/" + to_string(precision), edge_update_forward_family(size));
      sizes("edge_update_backward" + of + "/" + to_string(precision), edge_update_backward_family(size));
    }
    const KernelSize size{.d = width, .h = width};
    sizes("edge_embed" + of, edge_embed_family(size));
    sizes("edge_embed_update_forward" + of, edge_embed_update_forward_family(size));
    sizes("edge_embed_update_backward" + of, edge_embed_update_backward_family(size));
    sizes("edit_head" + of, edit_head_family(size));
    if (width == 64) continue;
    for (const auto& [name, family] : plain_kernels(size)) sizes(name + of, family);
  }
  for (const std::int64_t parameters : {std::int64_t{30'000}, std::int64_t{4'000'000}})
    rows.add("adamw/parameters:" + std::to_string(parameters), adamw_family(parameters), 1, threads);
}

/// All layers of a network in one launch, beside the same kernels layer by layer. The smaller networks' states fit the
/// 227 KB of a block with a little more; those of 104-32-16-2 need clusters, without which both rows are layer by
/// layer.
void add_device_layers(Rows& rows, int threads) {
  struct Fit {
    std::vector<int> widths;
    int d;
    Precision precision;
  };
  const Fit fits[] = {{{48, 8, 8, 2}, 64, Precision::float32},   {{104, 8, 8, 2}, 64, Precision::bf16},
                      {{104, 8, 8, 2}, 32, Precision::float32},  {{104, 16, 8, 2}, 32, Precision::bf16},
                      {{104, 32, 16, 2}, 32, Precision::bf16},   {{104, 32, 16, 2}, 64, Precision::bf16},
                      {{104, 32, 16, 2}, 64, Precision::float32}};
  for (const Fit& fit : fits)
    for (const int layers : {1, 4}) {
      const KernelSize size{
          .widths = fit.widths, .d = fit.d, .h = fit.d, .precision = fit.precision, .messages = layers};
      const std::string of = "/widths:" + joined(fit.widths) + "/D:" + std::to_string(fit.d) +
                             "/K:" + std::to_string(layers) + "/" + to_string(fit.precision);
      for (const int networks : {1, 128, 4096}) {
        rows.add("message_layers" + of, message_layers_family(size), networks, threads);
        rows.add("layer_by_layer" + of, layer_by_layer_family(size), networks, threads);
      }
    }
}

void add_device_edits(Rows& rows, int threads) {
  for (const auto& [edit_name, of] : edits_by_passes()) {
    const Family family = edit_family(of, EditFrom::device);
    for (const int networks : {1, 64, 1024}) rows.add(edit_name, family, networks, threads);
  }
  for (const char* name : {"a", "b"}) {
    const Workload of = workload(name);
    const std::string suffix = std::string("/") + name;
    const Family edit = edit_family(of, EditFrom::device, kChunk), whole = edit_family(of, EditFrom::host, kChunk),
                 messages = message_family(of), training = training_family(of);
    rows.add("latency/edit" + suffix, edit_latency_family(of), 1, threads);
    for (int networks = 1; networks <= 65'536; networks *= 4) {
      rows.add("batch/edit" + suffix, edit, networks, threads);
      rows.add("batch/edit_from_host" + suffix, whole, networks, threads);
      if (networks <= kChunk) rows.add("batch/messages" + suffix, messages, networks, threads);
    }
    for (const int networks : {16, 64, 256}) rows.add("training_step" + suffix, training, networks, threads);
  }
  for (const int networks : {64, 1024, 4096})
    rows.add("population/widths:104-32-16-2/steps:50", population_family({}), networks, threads);
}

}  // namespace

std::vector<RowPlan> cpu_rows(int threads) {
  Rows rows(true);
  add_cpu_kernels(rows, threads);
  add_cpu_edits(rows, threads);
  rows.add_shapes(250'000, 16, threads);
  return rows.take();
}

std::vector<RowPlan> device_rows(int threads) {
  Rows rows(false);
  add_device_kernels(rows, threads);
  add_device_layers(rows, threads);
  add_device_edits(rows, threads);
  rows.add_shapes(4e6, 1024, threads);
  return rows.take();
}

}  // namespace amend::bench
