// This engine's side of bench/peers: writes a case with its outputs, so that the peer is compared with them, and then
// times cases on request, so that the two sides take turns within one run.
//
//   peer_engine export DEVICE KIND WORKLOAD BATCH FILE      KIND: edit, messages, train; WORKLOAD: a, b
//   peer_engine serve DEVICE wall|cpu                       reads lines `KIND WORKLOAD BATCH THREADS ROUNDS`, answers
//                                                           each with a line of ROUNDS times in seconds, of the clock
//                                                           or of the processor
//
// On a GPU a run goes from tensors in its memory to tensors there, and its time is that between two events, the first
// of which is recorded when the device is idle: launches count, as they do on the other side.
#include <chrono>
#include <ctime>
#include <iostream>
#include <map>
#include <memory>
#include <sstream>
#include <variant>

#include <omp.h>

#include "bench/measure/timing.hpp"
#include "bench/measure/workload.hpp"
#include "engine/copy.hpp"
#include "kernels/gate.hpp"
#include "metanet/data/safetensors.hpp"

namespace amend::bench {

namespace {

using Case = std::variant<std::unique_ptr<EditCase>, std::unique_ptr<MessageCase>, std::unique_ptr<TrainingCase>>;

Case make_case(const std::string& kind, const std::string& name, int batch, Device device) {
  if (batch < 1) fail_input("batch", "expected at least 1, got ", batch);
  if (kind == "edit") return std::make_unique<EditCase>(workload(name), batch, DType::float32, device);
  if (kind == "messages") return std::make_unique<MessageCase>(workload(name), batch, DType::float32, device);
  if (kind == "train") return std::make_unique<TrainingCase>(workload(name), batch, device);
  fail_input("kind", "expected `edit`, `messages` or `train`, got `", kind, "`");
}

Stream stream_of(const Case& which) {
  return std::visit([](const auto& value) { return value->stream(); }, which);
}

class Export {
 public:
  /// Tensors are on the device of the stream, or in host memory.
  explicit Export(Stream stream) : stream_(stream) {}

  void add(const std::string& name, std::vector<std::int64_t> shape, std::span<const float> values) {
    file_.tensors.push_back(make_float_tensor(name, std::move(shape), values));
  }
  void add(const std::string& name, const TensorView& view) {
    std::vector<std::int64_t> shape;
    for (int axis = 0; axis < view.shape.rank(); ++axis) shape.push_back(view.extent(axis));
    const Tensor host = host_copy(view, stream_);
    add(name, std::move(shape), {host.as<float>(), static_cast<std::size_t>(host.count())});
  }
  void add(const std::string& name, std::vector<std::int64_t> shape, const std::vector<double>& values) {
    const std::vector<float> floats(values.begin(), values.end());
    add(name, std::move(shape), floats);
  }
  /// Weights and biases, a row a network.
  template <class Networks>
  void add_networks(const std::string& prefix, const Networks& networks) {
    std::vector<float> weight, bias;
    for (const SubjectNetwork& network : networks) {
      weight.insert(weight.end(), network.weights.begin(), network.weights.end());
      bias.insert(bias.end(), network.biases.begin(), network.biases.end());
    }
    const auto count = static_cast<std::int64_t>(networks.size());
    add(prefix + "weight", {count, static_cast<std::int64_t>(weight.size()) / count}, weight);
    add(prefix + "bias", {count, static_cast<std::int64_t>(bias.size()) / count}, bias);
  }
  void add_editor(const TrainedEditor& trained, const Workload& workload) {
    const ParameterSet& parameters = trained.editor->parameters();
    for (std::size_t index = 0; index < parameters.entries().size(); ++index)
      add("parameter." + parameters.entries()[index].name, parameters.value(static_cast<int>(index)));
    const EditorConfig& config = trained.config;
    const nlohmann::json description{
        {"widths", workload.widths},     {"edge_width", workload.edge_width}, {"node_width", workload.node_width},
        {"messages", workload.messages}, {"passes", workload.passes},         {"temperature", config.gates.temperature},
        {"bound", config.gates.bound},   {"deep_loss", config.deep_loss},     {"barrier", config.barrier}};
    file_.metadata["case"] = description.dump();
  }
  void add_condition(const TrainedEditor& trained, const std::vector<SubjectNetwork>& networks,
                     const std::vector<double>& lambda) {
    Arena arena;
    const GraphBatch graph(pointers_to(networks));
    EditorInputs inputs;
    inputs.table = &graph.table();
    encode_condition(inputs, lambda, trained.config.lambda, arena, DType::float32);
    add("lambda", inputs.lambda);
    add("condition", inputs.condition);
  }
  void save(const std::string& path) const { save_safetensors(path, file_); }

 private:
  Stream stream_;
  SafetensorsFile file_;
};

void export_case(EditCase& edit, const Workload&, Export& out) {
  out.add_editor(edit.trained(), edit.workload());
  out.add_networks("", edit.networks());
  out.add_condition(edit.trained(), edit.networks(), edit.lambda());
  out.add("x", edit.rows().x);
  std::vector<SubjectNetwork> edited;
  for (EditResult& result : edit.run()) edited.push_back(std::move(result.network));
  out.add_networks("out.", edited);
}

void export_case(MessageCase& messages, const Workload& workload, Export& out) {
  out.add_editor(messages.trained(), workload);
  messages.run();
  const std::int64_t batch = messages.condition().extent(0);
  const auto add = [&](const char* name, const TensorView& view) {
    out.add(name, reshape(view, {batch, view.extent(0) / batch, view.extent(1)}));
  };
  add("edge", messages.edge());
  add("node", messages.node());
  out.add("condition", messages.condition());
  add("out.edge", messages.edge_out());
  add("out.node", messages.node_out());
}

void export_case(TrainingCase& training, const Workload& workload, Export& out) {
  const TrainedEditor& trained = training.trained();
  out.add_editor(trained, workload);
  out.add_networks("", training.networks());
  out.add_condition(trained, training.networks(), training.lambda());
  const auto batch = static_cast<std::int64_t>(training.networks().size());
  out.add("loss_weight", {batch}, training.weight());
  const Stream stream = training.stream();
  Arena arena(stream.device());
  const auto draw = [&](const RandomStream& random) {
    return training.sampler().draw(arena, workload.probe_rows, 0, random, DType::float32, stream).x;
  };
  out.add("x", draw(training.probe_stream()));
  out.add("loss_x", draw(training.loss_stream()));
  GraphBatch graph(pointers_to(training.networks()));
  graph.stage(arena);
  const kernels::BlockTable& table = graph.device_table();
  std::vector<int> picks;
  for (int n = 0; n < batch; ++n) picks.push_back(n);
  EditorInputs inputs;
  inputs.table = &table;
  const ProbeCache::Picks staged = training.cache().stage(picks, arena);
  arena.upload(stream);
  training.cache().gather(staged, inputs, arena, stream);
  const BatchProbe& probe = inputs.probe;
  const auto rows = [&](const char* name, const TensorView& view) {
    out.add(name, reshape(view, {batch, view.count() / batch}));
  };
  rows("fisher", probe.fisher);
  rows("fisher_bias", probe.fisher_bias);
  rows("mean", probe.mean);
  rows("rms", probe.rms);
  rows("correlation", probe.correlation);
  // The noise of the gates, as Editor draws it: a stream a shard.
  const TensorView noise = arena.tensor({table.edge_count}, DType::float32);
  const std::int64_t edges = table.edge_count / batch, shard = training.shard_networks();
  for (std::int64_t first = 0; first < batch; first += shard) {
    const std::int64_t count = std::min(shard, batch - first);
    kernels::logistic_noise({.y = slice_rows(noise, first * edges, count * edges),
                             .seed = trained.config.seed,
                             .stream = 0x4e000000 + static_cast<std::uint32_t>(first / shard) * 4,
                             .step = 0,
                             .scale = 1.0},
                            stream);
  }
  rows("noise", noise);
  training.run();
  const float loss = static_cast<float>(training.loss());
  out.add("out.loss", {1}, std::span(&loss, 1));
  const ParameterSet& parameters = trained.editor->parameters();
  for (const auto& entry : parameters.entries())
    out.add("out.grad." + entry.name,
            reshape(slice_rows(training.grad(), entry.offset, entry.shape.count()), entry.shape));
}

using Clock = double (*)();

double wall_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double processor_seconds() { return static_cast<double>(std::clock()) / static_cast<double>(CLOCKS_PER_SEC); }

/// On a device an edit begins with weights that are there.
void prepare(Case& which) {
  auto* const edit = std::get_if<std::unique_ptr<EditCase>>(&which);
  if (edit != nullptr && (*edit)->stream().device().is_cuda()) (*edit)->upload();
}

void run_once(Case& which) {
  if (auto* const edit = std::get_if<std::unique_ptr<EditCase>>(&which)) {
    if ((*edit)->stream().device().is_cuda())
      (*edit)->run_on_device();
    else
      (void)(*edit)->run();
  } else if (auto* const messages = std::get_if<std::unique_ptr<MessageCase>>(&which)) {
    (*messages)->run();
  } else {
    std::get<std::unique_ptr<TrainingCase>>(which)->run();
  }
}

double seconds_of(Case& which, Clock clock, Stopwatch* events) {
  if (events != nullptr) {
    synchronise(stream_of(which));
    events->start();
    run_once(which);
    return events->stop();
  }
  const double start = clock();
  run_once(which);
  return clock() - start;
}

void serve(Device device, Clock clock) {
  std::map<std::string, Case> cases;
  std::unique_ptr<Stopwatch> events;  // of the case's stream
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream in(line);
    std::string kind, name;
    int batch = 0, threads = 0, rounds = 0;
    if (!(in >> kind >> name >> batch >> threads >> rounds) || threads < 1 || rounds < 1)
      fail_input("serve", "expected `KIND WORKLOAD BATCH THREADS ROUNDS`, got `", line, "`");
    const std::string key = kind + " " + name + " " + std::to_string(batch);
    omp_set_num_threads(threads);
    auto found = cases.find(key);
    if (found == cases.end()) {
      events.reset();
      cases.clear();  // one case in memory
      found = cases.emplace(key, make_case(kind, name, batch, device)).first;
      prepare(found->second);
      if (device.is_cuda()) events = make_stopwatch(stream_of(found->second), Launches::counted);
    }
    for (int run = 0; run < warmups_on(device); ++run)  // what another process left of the caches
      seconds_of(found->second, clock, events.get());
    std::cout.precision(9);
    for (int round = 0; round < rounds; ++round)
      std::cout << (round ? " " : "") << seconds_of(found->second, clock, events.get());
    std::cout << std::endl;
  }
}

int run(std::span<char*> arguments) {
  const std::string command = arguments.size() > 1 ? arguments[1] : "";
  const std::string clock = arguments.size() > 3 ? arguments[3] : "";
  if (command == "serve" && arguments.size() == 4 && (clock == "wall" || clock == "cpu")) {
    serve(parse_device(arguments[2]), clock == "cpu" ? processor_seconds : wall_seconds);
    return 0;
  }
  if (command != "export" || arguments.size() != 7)
    fail_input("peer_engine", "expected `export DEVICE KIND WORKLOAD BATCH FILE` or `serve DEVICE wall|cpu`");
  const std::string name = arguments[4];
  Case which = make_case(arguments[3], name, std::atoi(arguments[5]), parse_device(arguments[2]));
  Export out(stream_of(which));
  std::visit([&](auto& value) { export_case(*value, workload(name), out); }, which);
  out.save(arguments[6]);
  return 0;
}

}  // namespace

}  // namespace amend::bench

int main(int argc, char** argv) {
  try {
    return amend::bench::run({argv, static_cast<std::size_t>(argc)});
  } catch (const amend::InputError& error) {
    std::cerr << error.what() << "\n";
    return 2;
  } catch (const std::exception& error) {
    std::cerr << "peer_engine: " << error.what() << "\n";
    return 1;
  }
}
