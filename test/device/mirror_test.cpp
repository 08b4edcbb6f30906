// Kernels whose tensors stay in host memory: test/support/mirror.hpp.

#include "test/support/mirror.hpp"

#include <catch2/catch.hpp>
#include <memory>

#include "kernels/edge_update.hpp"
#include "kernels/fill.hpp"
#include "kernels/gate.hpp"
#include "test/support/message_setup.hpp"
#include "test/support/op_run.hpp"
#include "test/support/tolerance.hpp"

namespace amend::test {
namespace {

const Device kDevice = Device::cuda();

/// The outputs of `pass(run)`, with `run(name, cpu, cuda, args)` on the CPU and mirrored, within the tolerance.
template <class Pass>
void compare(const char* entry, const Pass& pass) {
  const HeapRecord record;
  const std::vector<Tensor> expected = pass([](const char*, auto cpu, auto, const auto&args) { cpu(args, Stream{}); }),
                            got = pass([](const char*name, auto, auto cuda, const auto&args) {
                              run_mirrored(name, cuda, args, kDevice);
                            });
  for (std::size_t i = 0; i < got.size(); ++i) {
    INFO("output " << i);
    CHECK(largest(values(got[i])) > 0.0);
    CHECK(close(entry, got[i], values(expected[i])));
  }
}

TEST_CASE("a mirrored gate reads slices and offsets, and adds to what is there") {
  compare("gate", [](const auto& run) {
    const std::vector<std::int64_t> offset = {0, 3, 3, 70};
    const Tensor logit = random_tensor({100}, DType::float32, 1), gate({100}, DType::float32),
                 penalty({3}, DType::float32), barrier({3}, DType::float32),
                 grad_gate = random_tensor({70}, DType::float32, 2),
                 grad_logit = random_tensor({70}, DType::float32, 3);
    const kernels::Gate forward{.kind = kernels::GateKind::hard_concrete,
                                .training = true,
                                .temperature = 0.7,
                                .bound = 0.5,
                                .logit = slice_rows(logit, 30, 70),
                                .segments = {offset.data(), 3},
                                .gate = slice_rows(gate, 30, 70),
                                .penalty = penalty,
                                .barrier = barrier};
    run("gate_forward", kernels::cpu::gate_forward, kernels::cuda::gate_forward, forward);
    CHECK(gate.as<float>()[29] == 0.0f);
    run("gate_backward", kernels::cpu::gate_backward, kernels::cuda::gate_backward,
        kernels::GateGradient{
            .forward = forward, .grad_gate = grad_gate, .grad_penalty = penalty, .grad_logit = grad_logit});
    return std::vector<Tensor>{gate, penalty, barrier, grad_logit};
  });
}

TEST_CASE("a mirrored edge_update reads the tables of its batch") {
  compare("edge_update", [](const auto& run) {
    const RandomBatch batch = random_batch({{5, 3, 2}, {5, 2}}, Activation::relu, DType::float32, 1);
    const kernels::BlockTable& table = batch.table();
    const std::int64_t d = 16;
    const auto random = [](std::int64_t rows, std::int64_t width, std::uint64_t seed) {
      return random_tensor({rows, width}, DType::float32, seed, 0.5);
    };
    const Tensor edge = random(table.edge_count, d, 1), projection = random(table.node_count, 4 * d, 2),
                 weight_c = random(d, d, 3), weight_g = random(d, d, 4),
                 modulation = random(table.network_count, 3 * d, 5), edge_out({table.edge_count, d}, DType::float32),
                 aggregate({table.node_count, 2 * d}, DType::float32);
    run("edge_update_forward", kernels::cpu::edge_update_forward, kernels::cuda::edge_update_forward,
        kernels::EdgeUpdate{.table = table,
                            .edge = edge,
                            .projection = projection,
                            .weight_c = weight_c,
                            .weight_g = weight_g,
                            .modulation = modulation,
                            .edge_out = edge_out,
                            .aggregate = aggregate});
    return std::vector<Tensor>{edge_out, aggregate};
  });
}

TEST_CASE("mirrored message_layers: the addresses in an array among the arguments") {
  compare("message_layers", [](const auto& run) {
    const RandomBatch batch = random_batch({{3, 2, 1}}, Activation::relu, DType::float32, 1);
    const MessageSetup setup(batch.table(), {.d = 16, .h = 12, .layers = 2}, DType::float32);
    auto [edge, node] = setup.run([&](const kernels::MessageLayers& args, Stream) {
      run("message_layers", kernels::cpu::message_layers, kernels::cuda::message_layers, args);
    });
    return std::vector<Tensor>{edge, node};
  });
}

TEST_CASE("memory that cannot be mirrored is an error that says where it is") {
  const HeapRecord record;
  const Tensor y({2}, DType::float32), x({2}, DType::float32);
  float array[2] = {1, 2};
  kernels::Accumulate args{.x = x, .scale = 1.0, .y = y};
  args.x.data = array;
  const auto at = reinterpret_cast<char*>(&args.x.data) - reinterpret_cast<char*>(&args);
  CHECK_THAT(error_of([&] { run_mirrored("accumulate", kernels::cuda::accumulate, args, kDevice); }),
             Catch::StartsWith("[accumulate] on cuda:0: ") &&
                 Catch::Contains("byte " + std::to_string(at) + " of the arguments of `accumulate`"));
  args.x = reshape(x, {1, 2});  // what the kernel refuses
  CHECK_THAT(error_of([&] { run_mirrored("accumulate", kernels::cuda::accumulate, args, kDevice); }),
             Catch::StartsWith("[accumulate] on cuda:0: [accumulate] expected `x`"));
}

TEST_CASE("blocks of the heap are known by their size until they are freed") {
  const HeapRecord record;
  auto block = std::make_unique<char[]>(37);
  char* const begin = block.get();
  CHECK(heap_block_of(begin).begin == begin);
  CHECK(heap_block_of(begin).bytes == 37);
  CHECK(heap_block_of(begin + 37).begin == begin);  // a slice of no rows starts behind the last one
  CHECK(heap_block_of(begin + 38).begin != begin);
  const Tensor x({5}, DType::float32);
  CHECK(heap_block_of(x.as<float>() + 4).begin == x.view().data);
  block.reset();
  CHECK_FALSE(heap_block_of(begin));
}

}  // namespace
}  // namespace amend::test
