#include "kernels/probe.hpp"

#include "kernels/subject_forward.hpp"
#include "test/support/twins.hpp"

AMEND_TWINS(probe, Probe)

namespace amend::test {
namespace {

constexpr const char* kNames[] = {"fisher",           "fisher_bias", "node_mean",     "node_rms",
                                  "node_correlation", "gradient",    "gradient_bias", "feature_saliency"};
constexpr std::size_t kOutputs = std::size(kNames);
constexpr unsigned kAll = (1u << kOutputs) - 1;
const Tensor kOffset = make_tensor({4}, DType::int32, {0, 1, 4, 6});

/// What a probe of a batch reads; the forward pass is the CPU's.
struct Inputs {
  Tensor x, activation, slope, logits, grad_logits;
  std::int64_t statistic_rows;

  Inputs(const RandomBatch& batch, std::int64_t rows, std::int64_t statistic_rows_in, std::int64_t objectives,
         DType dtype)
      : x(random_tensor({rows, 6}, dtype, 1)), statistic_rows(statistic_rows_in) {
    const kernels::BlockTable& table = batch.table();
    const std::int64_t classes = table.network_count > 0 ? table.network[0].outputs : 2;
    for (std::int64_t r = 0; r < rows; ++r)  // a constant column correlates with nothing
      dtype == DType::float32 ? x.as<float>()[r * 6 + 5] = 0.7f : x.as<double>()[r * 6 + 5] = 0.7;
    activation = Tensor({table.hidden_count, rows}, dtype);
    slope = Tensor({table.hidden_count, rows}, dtype);
    logits = Tensor({table.network_count, rows, classes}, dtype);
    kernels::subject_forward({.table = table,
                              .weight = batch.weight,
                              .bias = batch.bias,
                              .x = x,
                              .activation = activation,
                              .slope = slope,
                              .logits = logits},
                             Stream{});
    grad_logits = random_tensor({objectives, table.network_count, rows, classes}, dtype, 2);
  }

  /// The part of one network.
  Inputs(const Inputs& all, const kernels::Network& network, std::int64_t index) : Inputs(all) {
    const DType dtype = x.view().dtype;
    activation = convert(slice_rows(all.activation, network.hidden_offset, network.hidden_count), dtype);
    slope = convert(slice_rows(all.slope, network.hidden_offset, network.hidden_count), dtype);
    logits = convert(slice_rows(all.logits, index, 1), dtype);
    const Shape& shape = all.grad_logits.view().shape;
    grad_logits = Tensor({shape[0], 1, shape[2], shape[3]}, dtype);
    const std::size_t bytes = slice_rows(all.logits, index, 1).bytes();
    for (std::int64_t o = 0; o < shape[0]; ++o)
      std::memcpy(
          slice_rows(grad_logits, o, 1).data,
          static_cast<const char*>(slice_rows(all.grad_logits, o, 1).data) + static_cast<std::size_t>(index) * bytes,
          bytes);
  }
};

/// The outputs named by the bits of `which`, in the order of kNames; the others stay unset and are left out.
std::vector<Tensor> run(Twin twin, const RandomBatch& batch, const Inputs& in, unsigned which = kAll) {
  const kernels::BlockTable& table = batch.table();
  const DType dtype = in.x.view().dtype;
  const std::int64_t objectives = in.grad_logits.view().extent(0);
  const Shape edges{table.edge_count}, nodes{table.node_count};
  const Shape shapes[] = {edges,
                          nodes,
                          nodes,
                          nodes,
                          nodes,
                          {objectives, table.edge_count},
                          {objectives, table.node_count},
                          {table.network_count, 3}};
  std::vector<Tensor> outputs;
  TensorView o[kOutputs];
  for (std::size_t i = 0; i < kOutputs; ++i)
    if (which >> i & 1) o[i] = outputs.emplace_back(unset(shapes[i], dtype));
  twins::probe(twin, {.table = table,
                      .weight = batch.weight,
                      .x = in.x,
                      .activation = in.activation,
                      .slope = in.slope,
                      .logits = in.logits,
                      .statistic_rows = in.statistic_rows,
                      .grad_logits = o[5] || o[6] ? in.grad_logits.view() : TensorView{},
                      .fisher = o[0],
                      .fisher_bias = o[1],
                      .node_mean = o[2],
                      .node_rms = o[3],
                      .node_correlation = o[4],
                      .gradient = o[5],
                      .gradient_bias = o[6],
                      .feature_offset = kOffset,
                      .feature_saliency = o[7]});
  return outputs;
}

/// Twins agree, and networks have the same bits alone.
void compare(const RandomBatch& batch, const Inputs& in) {
  const DType dtype = in.x.view().dtype;
  const std::vector<Tensor> got = compare_twins("probe", [&](Twin twin) { return run(twin, batch, in); });
  for (std::size_t n = 0; n < batch.networks.size(); ++n) {
    const kernels::Network& network = batch.table().network[n];
    const auto index = static_cast<std::int64_t>(n);
    const std::vector<Tensor> own = run(Twin::cuda, make_batch({batch.networks[n]}, dtype), Inputs(in, network, index));
    for (std::size_t i = 0; i < own.size(); ++i) {
      INFO(kNames[i] << " of network " << n);
      const std::int64_t sets = i == 5 || i == 6 ? in.grad_logits.view().extent(0) : 1;
      const std::int64_t begin = i == 0 || i == 5 ? network.edge_offset : i == 7 ? 3 * index : network.node_offset;
      const TensorView all = reshape(got[i], {sets, got[i].count() / sets}),
                       one = reshape(own[i], {sets, own[i].count() / sets});
      for (std::int64_t s = 0; s < sets; ++s)
        CHECK(same_bits(reshape(slice_rows(one, s, 1), {one.extent(1)}),
                        slice_rows(reshape(slice_rows(all, s, 1), {all.extent(1)}), begin, one.extent(1))));
    }
  }
}

TEST_CASE("cuda probe") {
  const Activation activation = GENERATE(Activation::relu, Activation::tanh, Activation::silu, Activation::sigmoid);
  const int classes = activation == Activation::relu || activation == Activation::tanh ? 2 : 5;
  const DType dtype =
      activation == Activation::relu || activation == Activation::silu ? DType::float32 : DType::float64;
  const RandomBatch batch =
      random_batch({{6, 10, 8, classes}, {6, classes}, {6, 4, 1, 3, classes}}, activation, dtype, 3);
  compare(batch, Inputs(batch, 44, 35, classes == 2 ? 2 : 1, dtype));  // neither a multiple of a tile
}

TEST_CASE("cuda probe of networks that do not fit shared memory") {
  const int classes = GENERATE(2, 3);
  const DType dtype = classes == 2 ? DType::float32 : DType::float64;
  const RandomBatch batch = random_batch({{6, 5, classes}, {6, 70, 40, classes}}, Activation::tanh, dtype, 3);
  compare(batch, Inputs(batch, classes == 2 ? 66 : 20, 15, 1, dtype));
}

TEST_CASE("gpu probe of networks that do not fit the shared memory of any", "[.][gpu]") {
  const RandomBatch batch = random_batch({{6, 5, 2}, {6, 260, 250, 2}}, Activation::tanh, DType::float32, 3);
  compare(batch, Inputs(batch, 66, 15, 1, DType::float32));
}

TEST_CASE("cuda probe: outputs are optional") {
  const RandomBatch batch = random_batch({{6, 10, 2}, {6, 150, 2}}, Activation::silu, DType::float32, 3);
  const Inputs in(batch, 12, 9, 1, DType::float32);
  const std::vector<Tensor> all = run(Twin::cuda, batch, in);
  for (unsigned which : {0x00u, 0x01u, 0x02u, 0x04u, 0x08u, 0x10u, 0x20u, 0x40u, 0x80u}) {  // none, and each alone
    const std::vector<Tensor> got = run(Twin::cuda, batch, in, which);
    std::size_t next = 0;
    for (std::size_t i = 0; i < kOutputs; ++i) {
      if (!(which >> i & 1)) continue;
      INFO(kNames[i] << " of " << which);
      CHECK(same_bits(got[next++], all[i]));
    }
  }
}

TEST_CASE("cuda probe of no networks, of one row, of large weights") {
  const RandomBatch none = make_batch({}, DType::float32);
  CHECK_NOTHROW(run(Twin::cuda, none, Inputs(none, 3, 2, 1, DType::float32)));
  RandomBatch batch = random_batch({{6, 5, 2}}, Activation::relu, DType::float32, 3);
  const std::vector<Tensor> row = run(Twin::cuda, batch, Inputs(batch, 1, 1, 1, DType::float32));
  CHECK(largest(values(row[0])) == 0.0);  // the only row is the mean
  CHECK(largest(values(row[4])) == 0.0);
  for (std::int64_t e = 0; e < batch.weight.count(); ++e) batch.weight.as<float>()[e] *= 1e4f;
  for (const Tensor& output : run(Twin::cuda, batch, Inputs(batch, 40, 40, 1, DType::float32)))
    for (double value : values(output)) CHECK(std::isfinite(value));
}

}  // namespace
}  // namespace amend::test
