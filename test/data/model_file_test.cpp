#include "metanet/data/model_file.hpp"

#include <catch2/catch.hpp>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "engine/random.hpp"
#include "metanet/data/layer_order.hpp"
#include "test/support/data_files.hpp"

using namespace amend;
using namespace amend::test;
using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;

namespace {

struct Layer {
  std::string name;
  std::int64_t inputs, outputs;
};

/// Numbers 1/16, 2/16, ... through all tensors, so that each is found again; exact in every dtype.
SafetensorsFile contents_of(const std::vector<Layer>& layers, const std::string& dtype = "F32") {
  SafetensorsFile file;
  int next = 0;
  const auto add = [&](const std::string& name, const std::vector<std::int64_t>& shape) {
    std::vector<float> values(static_cast<std::size_t>(shape[0] * (shape.size() > 1 ? shape[1] : 1)));
    for (float& value : values) value = 0.0625f * static_cast<float>(++next);
    SafetensorsTensor tensor{name, dtype, shape, std::vector<std::byte>(values.size() * dtype_bytes(dtype))};
    write_floats(tensor, values, "test");
    file.tensors.push_back(std::move(tensor));
  };
  for (const Layer& layer : layers) {
    const std::string prefix = layer.name.empty() ? "" : layer.name + ".";
    add(prefix + "weight", {layer.outputs, layer.inputs});
    add(prefix + "bias", {layer.outputs});
  }
  return file;
}

class ModelFolder : public TemporaryFolder {
 public:
  std::filesystem::path file() const { return *this / "model.safetensors"; }
  void write(const SafetensorsFile& contents) const { save_safetensors(file(), contents); }
  void write(const std::vector<Layer>& layers) const { write(contents_of(layers)); }
  void describe(const std::string& yaml) const { write_bytes(*this / "model.yaml", yaml); }
  std::vector<std::string> order() const { return load_model_file(file(), std::nullopt, Activation::relu).layer_names; }
  std::string error() const {
    return input_error([&] { load_model_file(file()); });
  }
};

using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("numbers in names are compared by value, other text must be equal") {
  CHECK(compare_numbered("net.2", "net.10") < 0);
  CHECK(compare_numbered("net.10", "net.2") > 0);
  CHECK(compare_numbered("a1.b9", "a2.b1") < 0);
  CHECK(compare_numbered("a01", "a1") == 0);
  CHECK(compare_numbered("a00", "a1") < 0);
  CHECK(compare_numbered("fc1", "out") == 0);
  CHECK(compare_numbered("fc1", "fc") == 0);
  CHECK(compare_numbered("fc1x", "fc2") == 0);
  CHECK(compare_numbered("99999999999999999999999", "100000000000000000000000") < 0);
}

TEST_CASE("the order of layers is inferred from numbers and shapes where only one is possible") {
  const ModelFolder folder;
  const auto order_of = [&](const std::vector<Layer>& layers) {
    folder.write(layers);
    return folder.order();
  };
  CHECK(order_of({{"net.10", 5, 2}, {"net.0", 3, 4}, {"net.2", 4, 5}}) == Names{"net.0", "net.2", "net.10"});
  CHECK(order_of({{"0", 4, 4}, {"2", 4, 4}, {"4", 4, 4}}) == Names{"0", "2", "4"});
  CHECK(order_of({{"fc1", 3, 8}, {"fc2", 8, 8}, {"fc3", 8, 8}, {"out", 8, 2}}) == Names{"fc1", "fc2", "fc3", "out"});
  CHECK(order_of({{"a_output", 8, 2}, {"hidden", 3, 8}}) == Names{"hidden", "a_output"});
  CHECK(order_of({{"", 3, 2}}) == Names{""});
  CHECK(order_of({{"linear", 3, 2}}) == Names{"linear"});
}

TEST_CASE("an order that is ambiguous or impossible is an error that shows the description to write") {
  const ModelFolder folder;
  const auto error_of = [&](const std::vector<Layer>& layers) {
    folder.write(layers);
    return folder.error();
  };
  for (const auto& layers : std::vector<std::vector<Layer>>{
           {{"in", 3, 8}, {"left", 8, 8}, {"right", 8, 8}, {"out", 8, 2}}, {{"a", 8, 4}, {"b", 4, 8}}})
    CHECK_THAT(error_of(layers), StartsWith(folder.file().string()) && Contains("ambiguous") &&
                                     Contains("model.yaml") && Contains("layers: [") && Contains("activation:"));
  for (const auto& layers : std::vector<std::vector<Layer>>{
           {{"fc1", 8, 2}, {"fc2", 3, 8}}, {{"0", 3, 4}, {"2", 5, 2}}, {{"a", 3, 4}, {"b", 3, 4}}})
    CHECK_THAT(error_of(layers), Contains("order of its layers is not known") && Contains("layers: ["));
  std::vector<Layer> many;  // 40 layers that all fit each other, and one that fits none: a hopeless search ends
  for (int i = 0; i < 40; ++i) many.push_back({std::string(static_cast<std::size_t>(i) + 1, 'x'), 4, 4});
  many.push_back({"y", 3, 2});
  CHECK_THAT(error_of(many), Contains("ambiguous"));
}

TEST_CASE("a description beside the model, a given one, the metadata and an argument are read, in that order") {
  const ModelFolder folder;
  SafetensorsFile contents = contents_of({{"in", 4, 4}, {"mid", 4, 4}, {"end", 4, 4}});
  contents.metadata = {{"amend.layers", "in, end ,mid"}, {"amend.activation", "tanh"}};
  folder.write(contents);
  CHECK(folder.order() == Names{"in", "end", "mid"});
  CHECK(load_model_file(folder.file()).network.activation == Activation::tanh);
  folder.describe("layers: [end, mid, in]\nactivation: silu\n");
  CHECK(folder.order() == Names{"end", "mid", "in"});
  CHECK(load_model_file(folder.file()).network.activation == Activation::silu);
  CHECK(load_model_file(folder.file(), std::nullopt, Activation::sigmoid).network.activation == Activation::sigmoid);
  write_bytes(folder / "given.yaml", "activation: relu\n");
  const ModelFile given = load_model_file(folder.file(), folder / "given.yaml");
  CHECK(given.network.activation == Activation::relu);
  CHECK(given.layer_names == Names{"in", "end", "mid"});  // said by the metadata only
  CHECK_THAT(input_error([&] { load_model_file(folder.file(), folder / "absent.yaml"); }), Contains("absent.yaml"));
  folder.write(std::vector<Layer>{{"0", 3, 4}, {"2", 4, 2}});
  folder.describe("layers: [0, 2]\nactivation: relu\n");
  CHECK(folder.order() == Names{"0", "2"});
}

TEST_CASE("a description with a mistake is an error that names it") {
  const ModelFolder folder;
  folder.write(std::vector<Layer>{{"in", 3, 4}, {"mid", 4, 4}, {"end", 4, 2}});
  CHECK_THAT(folder.error(),
             Contains("activation between its layers is not known") && Contains("layers: [in, mid, end]"));
  const auto error_with = [&](const std::string& yaml) {
    folder.describe(yaml);
    return folder.error();
  };
  const std::string yaml = (folder / "model.yaml").string();
  CHECK_THAT(error_with("layers: [in, end]\nactivation: relu\n"), StartsWith(yaml) && Contains("\"mid\" is missing"));
  CHECK_THAT(error_with("layers: [in, mid, mid, end]\nactivation: relu\n"), StartsWith(yaml) && Contains("\"mid\""));
  CHECK_THAT(error_with("layers: [in, midd, end]\nactivation: relu\n"), StartsWith(yaml) && Contains("\"midd\""));
  CHECK_THAT(error_with("layers: [mid, in, end]\nactivation: relu\n"), StartsWith(yaml) && Contains("has 3 inputs"));
  CHECK_THAT(error_with("layer: [in, mid, end]\n"), StartsWith(yaml) && Contains("layers"));
  CHECK_THAT(error_with("activation: gelu\n"), StartsWith(yaml) && Contains("gelu") && Contains("silu"));
  CHECK_THAT(error_with("activation: [\n"), StartsWith(yaml));
}

TEST_CASE("what is not a multi-layer perceptron with two or more outputs is refused by tensor") {
  const ModelFolder folder;
  const SafetensorsFile good = contents_of({{"fc1", 3, 4}, {"fc2", 4, 2}});
  const auto error_with = [&](const SafetensorsTensor& tensor) {
    SafetensorsFile contents = good;
    contents.tensors.push_back(tensor);
    folder.write(contents);
    return folder.error();
  };
  const std::vector<float> zeros(36, 0.0f);
  const auto zero = [&](const std::string& name, const std::vector<std::int64_t>& shape, std::size_t count) {
    return make_float_tensor(name, shape, std::span(zeros).first(count));
  };
  CHECK_THAT(error_with({"bn.num_batches_tracked", "I64", {}, std::vector<std::byte>(8)}),
             Contains("bn.num_batches_tracked") && Contains("multi-layer perceptrons"));
  CHECK_THAT(error_with(zero("conv.weight", {2, 2, 3, 3}, 36)),
             Contains("conv.weight") && Contains("[2, 2, 3, 3]") && Contains("multi-layer perceptrons"));
  CHECK_THAT(error_with(zero("norm.weight", {4}, 4)), Contains("norm.weight") && Contains("matrix"));
  CHECK_THAT(error_with(zero("fc3.bias", {4}, 4)), Contains("fc3.bias") && Contains("no weight"));
  CHECK_THAT(error_with(zero("fc3.weight", {2, 2}, 4)),
             Contains("fc3.weight") && Contains("no bias") && Contains("\"fc3.bias\" of 2 zeros"));
  CHECK_THAT(error_with(zero("fc3.weight", {0, 2}, 0)), Contains("fc3.weight") && Contains("[0, 2]"));

  SafetensorsFile contents = good;
  contents.tensors[1] = zero("fc1.bias", {3}, 3);
  folder.write(contents);
  CHECK_THAT(folder.error(), Contains("fc1.bias") && Contains("expected shape [4]"));
  contents = good;
  contents.tensors[2] = {"fc2.weight", "I32", {2, 4}, std::vector<std::byte>(32)};
  folder.write(contents);
  CHECK_THAT(input_error([&] { folder.order(); }), Contains("fc2.weight") && Contains("I32"));
  contents = good;
  contents.tensors[2] = make_float_tensor("fc2.weight", {2, 4}, std::vector<float>{0, 0, 0, 0, 0, 0, HUGE_VALF, 0});
  folder.write(contents);
  CHECK_THAT(input_error([&] { folder.order(); }), Contains("fc2.weight") && Contains("element 6"));
  folder.write(SafetensorsFile{});
  CHECK_THAT(folder.error(), Contains("no tensors"));
  folder.write(std::vector<Layer>{{"fc1", 3, 4}, {"fc2", 4, 1}});
  CHECK_THAT(folder.error(), Contains("fc2.weight") && Contains("one output") && Contains("row of zeros above"));
}

TEST_CASE("a model's numbers are read in the order of its layers") {
  const ModelFolder folder;
  folder.write(std::vector<Layer>{{"out", 2, 2}, {"in", 3, 2}});  // out: 1/16 .. 6/16, in: 7/16 ..
  const SubjectNetwork network = load_model_file(folder.file(), std::nullopt, Activation::relu).network;
  CHECK(network.name == "model");
  CHECK(network.run == "model");
  CHECK(network.widths == std::vector<int>{3, 2, 2});
  REQUIRE(network.weights.size() == 10);
  CHECK(network.weights[0] == 0.4375f);
  CHECK(network.weights[network.weight_offset(1)] == 0.0625f);
  CHECK(network.biases == std::vector<float>{0.8125f, 0.875f, 0.3125f, 0.375f});
  CHECK_NOTHROW(validate(network, "model"));
}

TEST_CASE("an edited model keeps tensors, order, dtypes, metadata and every byte that the edit left alone") {
  const ModelFolder folder;
  const std::string dtype = GENERATE(as<std::string>(), "F32", "F64", "F16", "BF16");
  CAPTURE(dtype);
  SafetensorsFile contents = contents_of({{"out", 4, 2}, {"in", 3, 4}}, dtype);
  if (dtype == "F64")  // a number that float32 does not hold
    for (auto& tensor : contents.tensors) tensor.bytes[0] ^= std::byte{1};
  contents.metadata = {{"format", "pt"}, {"note", "mine"}};
  folder.write(contents);
  const ModelFile model = load_model_file(folder.file(), std::nullopt, Activation::tanh);

  const std::filesystem::path same = folder / "same.safetensors";
  save_model_file(same, model, model.network);
  const SafetensorsFile untouched = load_safetensors(same);
  REQUIRE(untouched.tensors.size() == 4);
  for (std::size_t i = 0; i < 4; ++i) {
    CHECK(untouched.tensors[i].name == contents.tensors[i].name);
    CHECK(untouched.tensors[i].dtype == dtype);
    CHECK(untouched.tensors[i].shape == contents.tensors[i].shape);
    CHECK(untouched.tensors[i].bytes == contents.tensors[i].bytes);
  }
  CHECK(untouched.metadata ==
        std::map<std::string, std::string>{
            {"amend.activation", "tanh"}, {"amend.layers", "in,out"}, {"format", "pt"}, {"note", "mine"}});
  SubjectNetwork edited = model.network;
  edited.weights[static_cast<std::size_t>(edited.weight_offset(1)) + 3] = 0.0f;
  edited.biases[1] = 1.5f;
  save_model_file(folder / "edited.safetensors", model, edited, {{"amend.condition", "pruning=0.3"}});
  const ModelFile read = load_model_file(folder / "edited.safetensors");  // needs no description
  CHECK(read.network.weights == edited.weights);
  CHECK(read.network.biases == edited.biases);
  CHECK(read.original.metadata.at("amend.condition") == "pruning=0.3");
  CHECK(read.original.tensors[2].bytes == contents.tensors[2].bytes);
  const std::size_t element = dtype_bytes(dtype);
  for (std::size_t i = 0; i < contents.tensors[0].bytes.size(); ++i)
    if (i / element != 3 && read.original.tensors[0].bytes[i] != contents.tensors[0].bytes[i]) FAIL("byte " << i);
}

TEST_CASE("a model that is edited again keeps what is known of the edits before") {
  const ModelFolder folder;
  folder.write(contents_of({{"in", 3, 4}, {"out", 4, 2}}, "F32"));
  ModelFile model = load_model_file(folder.file(), std::nullopt, Activation::relu);
  for (const char* condition : {"first", "second", "third"}) {
    save_model_file(folder / "edited.safetensors", model, model.network, {{"amend.condition", condition}});
    model = load_model_file(folder / "edited.safetensors");
  }
  CHECK(model.original.metadata == std::map<std::string, std::string>{{"amend.activation", "relu"},
                                                                      {"amend.before.before.condition", "first"},
                                                                      {"amend.before.condition", "second"},
                                                                      {"amend.condition", "third"},
                                                                      {"amend.layers", "in,out"}});
}

TEST_CASE("metadata that are not UTF-8 are written with the bad bytes replaced") {
  const ModelFolder folder;
  folder.write(contents_of({{"in", 3, 4}, {"out", 4, 2}}, "F32"));
  const ModelFile model = load_model_file(folder.file(), std::nullopt, Activation::relu);
  save_model_file(folder / "edited.safetensors", model, model.network, {{"amend.edited_by", "a\xff"}});
  CHECK(load_safetensors(folder / "edited.safetensors").metadata.at("amend.edited_by") == "a\xEF\xBF\xBD");
}

TEST_CASE("an edit that does not fit the model is not written") {
  const ModelFolder folder;
  folder.write(contents_of({{"0", 3, 4}, {"2", 4, 2}}, "F16"));
  const ModelFile model = load_model_file(folder.file(), std::nullopt, Activation::relu);
  SubjectNetwork edited = model.network;
  edited.weights[2] = 1e6f;
  CHECK_THAT(input_error([&] { save_model_file(folder / "b", model, edited); }),
             Contains("0.weight") && Contains("element 2") && Contains("F16"));
  edited.weights[2] = HUGE_VALF;
  CHECK_THROWS_AS(save_model_file(folder / "b", model, edited), Error);
  edited = model.network;
  edited.widths = {4, 3, 2};
  CHECK_THROWS_AS(save_model_file(folder / "b", model, edited), Error);
  CHECK_THROWS_AS(save_model_file(folder / "b", model, model.network, {{"format", "mine"}}), Error);
  CHECK(folder.entries() == 1);
}

TEST_CASE("random damage to a model loads or is an input error, nothing else") {
  const ModelFolder folder;
  SafetensorsFile contents = contents_of({{"fc1", 3, 4}, {"fc2", 4, 2}}, "BF16");
  contents.metadata = {{"amend.activation", "relu"}, {"amend.layers", "fc1,fc2"}};
  folder.write(contents);
  const std::string whole = read_bytes(folder.file());
  int refused = 0;
  for (std::uint32_t round = 0; round < 3000; ++round) {
    const RandomStream random(7, 0, round);
    std::string bytes = whole;
    for (std::uint32_t change = 0; change < 1 + round % 3; ++change) {
      const std::uint32_t position = random.below(3 * change, static_cast<std::uint32_t>(bytes.size()));
      bytes[position] = random.below(3 * change + 1, 2) == 0
                            ? static_cast<char>(random.below(3 * change + 2, 256))
                            : "0123456789,:[]{}\"-.e"[random.below(3 * change + 2, 20)];
    }
    write_bytes(folder.file(), bytes);
    refused += folder.error().empty() ? 0 : 1;
  }
  CHECK(refused > 1500);
  CHECK(refused < 3000);
}
