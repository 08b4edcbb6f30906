#include "test/support/random_networks.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

#include "engine/random.hpp"

namespace amend::test {

SubjectNetwork random_network(const std::vector<int>& widths, Activation activation, std::uint64_t seed) {
  SubjectNetwork network;
  network.name = "random-" + std::to_string(seed);
  network.run = network.name;
  network.widths = widths;
  network.activation = activation;
  const RandomStream weight(seed, 1), bias(seed, 2);
  for (std::size_t layer = 0; layer + 1 < widths.size(); ++layer) {
    const float scale = std::sqrt(2.0f / static_cast<float>(widths[layer]));
    for (int i = 0; i < widths[layer] * widths[layer + 1]; ++i)
      network.weights.push_back(scale * weight.normal(network.weights.size()));
    for (int i = 0; i < widths[layer + 1]; ++i) network.biases.push_back(0.3f * bias.normal(network.biases.size()));
  }
  return network;
}

RandomBatch make_batch(std::vector<SubjectNetwork> networks, DType dtype) {
  RandomBatch batch;
  batch.networks = std::move(networks);
  std::vector<const SubjectNetwork*> pointers;
  for (const SubjectNetwork& network : batch.networks) pointers.push_back(&network);
  batch.graph = GraphBatch(pointers);
  batch.weight = Tensor({batch.table().edge_count}, dtype);
  batch.bias = Tensor({batch.table().node_count}, dtype);
  batch.graph.gather(pointers, batch.weight, batch.bias);
  return batch;
}

RandomBatch random_batch(const std::vector<std::vector<int>>& widths, Activation activation, DType dtype,
                         std::uint64_t seed) {
  std::vector<SubjectNetwork> networks;
  for (std::size_t b = 0; b < widths.size(); ++b)
    networks.push_back(random_network(widths[b], activation, seed * 1000 + b));
  return make_batch(std::move(networks), dtype);
}

Tensor make_tensor(Shape shape, DType dtype, const std::vector<double>& elements) {
  check(shape.count() == static_cast<std::int64_t>(elements.size()), "make_tensor", "shape ", to_string(shape),
        " does not hold ", elements.size(), " elements");
  Tensor result(shape, dtype);
  for (std::size_t i = 0; i < elements.size(); ++i) switch (dtype) {
      case DType::float32: result.as<float>()[i] = static_cast<float>(elements[i]); break;
      case DType::float64: result.as<double>()[i] = elements[i]; break;
      case DType::int32: result.as<std::int32_t>()[i] = static_cast<std::int32_t>(elements[i]); break;
      case DType::bfloat16: result.as<BFloat16>()[i] = BFloat16(static_cast<float>(elements[i])); break;
    }
  return result;
}

Tensor random_tensor(Shape shape, DType dtype, std::uint64_t seed, double scale, double shift) {
  const RandomStream stream(seed, 3);
  std::vector<double> elements(static_cast<std::size_t>(shape.count()));
  for (std::size_t i = 0; i < elements.size(); ++i)
    elements[i] = double{static_cast<float>(scale * double{stream.normal(i)} + shift)};
  return make_tensor(shape, dtype, elements);
}

Tensor random_integers(Shape shape, std::int32_t bound, std::uint64_t seed) {
  const RandomStream stream(seed, 4);
  std::vector<double> elements(static_cast<std::size_t>(shape.count()));
  for (std::size_t i = 0; i < elements.size(); ++i) elements[i] = stream.below(i, static_cast<std::uint32_t>(bound));
  return make_tensor(shape, DType::int32, elements);
}

std::vector<double> values(const TensorView& x) {
  std::vector<double> result(static_cast<std::size_t>(x.count()));
  for (std::size_t i = 0; i < result.size(); ++i) switch (x.dtype) {
      case DType::float32: result[i] = double{x.as<float>()[i]}; break;
      case DType::float64: result[i] = x.as<double>()[i]; break;
      case DType::int32: result[i] = x.as<std::int32_t>()[i]; break;
      case DType::bfloat16: result[i] = double{static_cast<float>(x.as<BFloat16>()[i])}; break;
    }
  return result;
}

Tensor one_hot_rows(std::int64_t rows, const std::vector<std::int64_t>& widths, DType dtype, std::uint64_t seed) {
  const std::int64_t inputs = std::accumulate(widths.begin(), widths.end(), std::int64_t{0});
  std::vector<double> x(static_cast<std::size_t>(rows * inputs));
  std::int64_t first = 0;
  for (std::size_t f = 0; f < widths.size(); first += widths[f++]) {
    const std::uint64_t own = seed + 1000 * (f + 1);
    const std::vector<double> number = values(random_tensor({rows}, DType::float64, own));
    const Tensor place = random_integers({rows}, static_cast<std::int32_t>(widths[f]), own);
    for (std::int64_t r = 0; r < rows; ++r)
      x[static_cast<std::size_t>(r * inputs + first + place.as<std::int32_t>()[r])] =
          widths[f] == 1 ? static_cast<double>(static_cast<float>(number[static_cast<std::size_t>(r)])) : 1.0;
  }
  return make_tensor({rows, inputs}, dtype, x);
}

Tensor convert(const TensorView& x, DType dtype) { return make_tensor(x.shape, dtype, values(x)); }

bool same_bits(const TensorView& a, const TensorView& b) {
  return a.shape == b.shape && a.dtype == b.dtype && (a.bytes() == 0 || std::memcmp(a.data, b.data, a.bytes()) == 0);
}

double largest(const std::vector<double>& x) {
  double result = 0.0;
  for (double value : x) result = std::max(result, std::fabs(value));
  return result;
}

double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  if (a.size() != b.size()) return kInfinity;
  double result = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double difference = std::fabs(a[i] - b[i]);
    if (std::isnan(difference)) return kInfinity;
    result = std::max(result, difference);
  }
  return result;
}

double mean_difference(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += std::fabs(a[i] - b[i]);
  return sum / static_cast<double>(std::max<std::size_t>(a.size(), 1));
}

}  // namespace amend::test
