#include "test/support/pytorch_file.hpp"

#include "metanet/data/safetensors.hpp"

namespace amend::test {

void write_pytorch_file(const std::string& file, const SubjectNetwork& network) {
  SafetensorsFile contents;
  contents.metadata = {{"format", "pt"}, {"owner", "somebody"}};
  for (int layer = 0; layer < network.layers(); ++layer) {
    const std::int64_t in = network.widths[static_cast<std::size_t>(layer)];
    const std::int64_t out = network.widths[static_cast<std::size_t>(layer) + 1];
    const std::string name = "net." + std::to_string(2 * layer);
    contents.tensors.push_back(
        make_float_tensor(name + ".weight", {out, in},
                          {network.weights.data() + network.weight_offset(layer), static_cast<std::size_t>(in * out)}));
    contents.tensors.push_back(make_float_tensor(
        name + ".bias", {out}, {network.biases.data() + network.bias_offset(layer), static_cast<std::size_t>(out)}));
  }
  save_safetensors(file, contents);
}

}  // namespace amend::test
