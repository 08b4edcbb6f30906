#include "metanet/data/population.hpp"

#include <catch2/catch.hpp>
#include <chrono>
#include <cmath>
#include <functional>
#include <limits>
#include <string>

#include "engine/random.hpp"
#include "metanet/data/json_reader.hpp"
#include "metanet/data/safetensors.hpp"
#include "test/support/data_files.hpp"

using namespace amend;
using namespace amend::test;
using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;
using Json = nlohmann::json;

namespace {

SubjectNetwork network_of(const std::string& name, const std::vector<int>& widths, std::uint32_t seed) {
  SubjectNetwork network{name, widths, Activation::silu, {}, {}, "run-" + name};
  const RandomStream random(seed, 1);
  for (std::int64_t i = 0; i < network.weight_count(); ++i)
    network.weights.push_back(random.normal(static_cast<std::uint64_t>(i)));
  for (std::int64_t i = 0; i < network.bias_count(); ++i)
    network.biases.push_back(random.normal(static_cast<std::uint64_t>(i) + 1'000'000));
  return network;
}

Population small_population() {
  Population population;
  population.dataset_name = "synthetic";
  population.dataset_source = "configs/data/synthetic.yaml";
  population.dataset_fingerprint = "abc123";
  population.networks = {network_of("net-0", {3, 4, 2}, 1), network_of("net-1", {3, 2}, 2),
                         network_of("net-2", {3, 5, 4, 2}, 3)};
  population.networks[1].activation = Activation::tanh;
  population.split = {PopulationSplit::train, PopulationSplit::test, PopulationSplit::train};
  population.attributes = {{{"training", {{"learning_rate", 0.01}}}}, Json::object(), {{"edit", {{"pass", 2}}}}};
  population.provenance = {{"seed", 7}, {"config", {{"count", 3}}}};
  return population;
}

std::string error_of(const std::filesystem::path& folder) {
  return input_error([&] { load_population(folder); });
}

}  // namespace

TEST_CASE("subject networks know their sizes and are checked") {
  SubjectNetwork network = network_of("a", {3, 5, 4, 2}, 1);
  CHECK(network.layers() == 3);
  CHECK(network.weight_count() == 15 + 20 + 8);
  CHECK(network.bias_count() == 11);
  CHECK(network.weight_offset(2) == 35);
  CHECK(network.bias_offset(2) == 9);
  CHECK_NOTHROW(validate(network, "here"));
  network.biases[3] = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_WITH(validate(network, "here"), StartsWith("here") && Contains("biases") && Contains("at 3"));
  network.biases.pop_back();
  CHECK_THROWS_WITH(validate(network, "here"), Contains("expected 11 biases"));
  network.widths = {3};
  CHECK_THROWS_WITH(validate(network, "here"), Contains("two widths"));
  network.widths = {3, 0, 2};
  CHECK_THROWS_WITH(validate(network, "here"), Contains("positive"));
  for (const Activation activation : {Activation::relu, Activation::tanh, Activation::silu, Activation::sigmoid})
    CHECK(parse_activation(to_string(activation), "here") == activation);
  CHECK_THAT(input_error([] { parse_activation("gelu", "a.yaml: activation"); }),
             StartsWith("a.yaml: activation") && Contains("relu, tanh, silu, sigmoid") && Contains("gelu"));
}

TEST_CASE("a population is read as it was written") {
  const TemporaryFolder folder;
  const Population written = small_population();
  save_population(written, folder / "population/");
  const Population read = load_population(folder / "population");
  CHECK(read.dataset_name == written.dataset_name);
  CHECK(read.dataset_source == written.dataset_source);
  CHECK(read.dataset_fingerprint == written.dataset_fingerprint);
  CHECK(read.provenance == written.provenance);
  CHECK(read.split == written.split);
  CHECK(read.attributes == written.attributes);
  REQUIRE(read.networks.size() == 3);
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(read.networks[i].name == written.networks[i].name);
    CHECK(read.networks[i].run == written.networks[i].run);
    CHECK(read.networks[i].widths == written.networks[i].widths);
    CHECK(read.networks[i].activation == written.networks[i].activation);
    CHECK(read.networks[i].weights == written.networks[i].weights);
    CHECK(read.networks[i].biases == written.networks[i].biases);
  }
  CHECK(networks_of(read, PopulationSplit::train) == std::vector<int>{0, 2});
  CHECK(networks_of(read, PopulationSplit::validation).empty());
  CHECK(folder.entries() == 1);
  const SafetensorsFile tensors = load_safetensors(folder / "population" / "networks.safetensors");
  CHECK(tensors.find("net-2.1.weight")->shape == std::vector<std::int64_t>{4, 5});
  CHECK(tensors.find("net-2.2.bias")->shape == std::vector<std::int64_t>{2});
}

TEST_CASE("a manifest with a mistake is an error that names file and key") {
  const TemporaryFolder folder;
  save_population(small_population(), folder / "p");
  const std::filesystem::path file = folder / "p" / "manifest.json";
  const Json whole = load_json(file);
  struct Case {
    std::function<void(Json&)> change;
    std::string message;
  };
  const std::vector<Case> cases{
      {[](Json& m) { m["format"] = "other"; }, "format"},
      {[](Json& m) { m.erase("format"); }, "'format'"},
      {[](Json& m) { m["version"] = 2; }, "version"},
      {[](Json& m) { m["version"] = "1"; }, "version"},
      {[](Json& m) { m["provenence"] = 1; }, "did you mean 'provenance'"},
      {[](Json& m) { m.erase("provenance"); }, "'provenance'"},
      {[](Json& m) { m.erase("dataset"); }, "'dataset'"},
      {[](Json& m) { m["dataset"] = "adult"; }, "dataset: expected an object"},
      {[](Json& m) { m["dataset"].erase("fingerprint"); }, "fingerprint"},
      {[](Json& m) { m["dataset"]["name"] = 3; }, "name: expected a string"},
      {[](Json& m) { m["networks"] = Json::object(); }, "networks: expected a list"},
      {[](Json& m) { m["networks"][1] = 3; }, "networks[1]: expected an object"},
      {[](Json& m) { m["networks"][1].erase("run"); }, "networks[1]: expected a key 'run'"},
      {[](Json& m) { m["networks"][2]["widths"] = 3; }, "networks[2].widths"},
      {[](Json& m) { m["networks"][2]["widths"] = {3}; }, "networks[2].widths"},
      {[](Json& m) { m["networks"][2]["widths"][1] = 5.5; }, "networks[2].widths"},
      {[](Json& m) { m["networks"][2]["widths"][1] = -5; }, "networks[2].widths"},
      {[](Json& m) { m["networks"][2]["widths"][1] = 1ll << 40; }, "networks[2].widths"},
      {[](Json& m) { m["networks"][2]["widths"][1] = 6; }, "expected shape [6, 3]"},
      {[](Json& m) {
         m["networks"][2]["widths"] = {3, 5, 4, 2, 2};
       },
       "net-2.3.weight"},
      {[](Json& m) {
         m["networks"][2]["widths"] = {3, 5, 4};
       },
       "belongs to no network"},
      {[](Json& m) { m["networks"][0]["activation"] = "gelu"; }, "networks[0].activation"},
      {[](Json& m) { m["networks"][0]["split"] = "audit"; }, "networks[0].split"},
      {[](Json& m) { m["networks"][0]["name"] = ""; }, "expected a name"},
      {[](Json& m) { m["networks"][0]["name"] = "net-1"; }, "\"net-1\" twice"},
      {[](Json& m) { m["networks"][0]["name"] = "net-9"; }, "net-9.0.weight"},
      {[](Json& m) { m["networks"][0]["run"] = "run-net-1"; }, "two splits, train and test"},
      {[](Json& m) { m["networks"].erase(1); }, "belongs to no network"},
  };
  for (const Case& bad : cases) {
    Json manifest = whole;
    bad.change(manifest);
    write_bytes(file, manifest.dump());
    CAPTURE(bad.message);
    CHECK_THAT(error_of(folder / "p"), StartsWith((folder / "p").string()) && Contains(bad.message));
  }
  const std::string text = whole.dump();
  for (const std::string& bad :
       {std::string(), text.substr(0, text.size() / 2), text + "]", "{\"format\":1," + text.substr(1)}) {
    write_bytes(file, bad);
    CHECK_THAT(error_of(folder / "p"), StartsWith(file.string()));
  }
  write_bytes(file, std::string(100'000, '['));
  CHECK_THAT(error_of(folder / "p"), Contains("deep"));
  std::filesystem::remove(file);
  CHECK_THAT(error_of(folder / "p"), StartsWith(file.string()));
  CHECK_THAT(error_of(folder / "absent"), Contains("population folder"));
}

TEST_CASE("tensors of a population that are missing, too many, not finite or not float32 are errors") {
  const TemporaryFolder folder;
  save_population(small_population(), folder / "p");
  const std::filesystem::path file = folder / "p" / "networks.safetensors";
  const SafetensorsFile whole = load_safetensors(file);
  SafetensorsFile bad = whole;
  bad.tensors[0] = make_float_tensor("net-0.0.weight", {4, 3}, std::vector<float>(12, HUGE_VALF));
  save_safetensors(file, bad);
  CHECK_THAT(error_of(folder / "p"), Contains("net-0.0.weight") && Contains("element 0"));
  bad.tensors.erase(bad.tensors.begin());
  save_safetensors(file, bad);
  CHECK_THAT(error_of(folder / "p"), Contains("net-0.0.weight") && Contains("found none"));
  bad = whole;
  bad.tensors.push_back(make_float_tensor("other", {1}, std::vector<float>{1}));
  save_safetensors(file, bad);
  CHECK_THAT(error_of(folder / "p"), Contains("other") && Contains("belongs to no network"));
  bad = whole;
  bad.tensors[1].dtype = "I32";
  save_safetensors(file, bad);
  CHECK_THAT(error_of(folder / "p"), Contains("net-0.0.bias") && Contains("I32"));
  std::filesystem::remove(file);
  CHECK_THAT(error_of(folder / "p"), StartsWith(file.string()));
}

TEST_CASE("only a population is overwritten, and it is replaced as a whole") {
  const TemporaryFolder folder;
  Population population = small_population();
  save_population(population, folder / "p");
  population.networks.pop_back();
  population.split.pop_back();
  population.attributes.pop_back();
  save_population(population, folder / "p");
  CHECK(load_population(folder / "p").networks.size() == 2);
  CHECK(folder.entries() == 1);

  {  // a disk that is full: the old one stays
    const FileSizeLimit limit(1500);
    Population larger = small_population();
    larger.networks[0] = network_of("net-0", {30, 40, 2}, 1);
    CHECK_THAT(input_error([&] { save_population(larger, folder / "p"); }),
               StartsWith((folder / "p").string()) && Contains("cannot be written"));
  }
  CHECK(load_population(folder / "p").networks.size() == 2);
  CHECK(folder.entries() == 1);

  write_bytes(folder / "p" / "notes.txt", "mine");
  CHECK_THAT(input_error([&] { save_population(population, folder / "p"); }), Contains("notes.txt"));
  CHECK(read_bytes(folder / "p" / "notes.txt") == "mine");
  std::filesystem::create_directories(folder / "other");
  save_population(population, folder / "other");
  CHECK(load_population(folder / "other").networks.size() == 2);
  write_bytes(folder / "other" / "manifest.json", "{\"format\": \"something else\"}");
  CHECK_THAT(input_error([&] { save_population(population, folder / "other"); }), Contains("not a population"));
  write_bytes(folder / "file", "x");
  CHECK_THAT(input_error([&] { save_population(population, folder / "file"); }), Contains("found a file"));
  CHECK(read_bytes(folder / "file") == "x");
}

TEST_CASE("paths in a population that are not UTF-8 are written with the bad bytes replaced") {
  const TemporaryFolder folder;
  Population population = small_population();
  population.dataset_source = "/data/\xff.yaml";
  population.attributes[0]["edit"] = {{"editor", "\xfe"}};
  save_population(population, folder / "p");
  const Population read = load_population(folder / "p");
  CHECK(read.dataset_source == "/data/\xEF\xBF\xBD.yaml");
  CHECK(read.attributes[0]["edit"]["editor"] == "\xEF\xBF\xBD");
}

TEST_CASE("a population that contradicts itself is not written") {
  const TemporaryFolder folder;
  const auto refused = [&](const std::function<void(Population&)>& change) {
    Population population = small_population();
    change(population);
    CHECK_THROWS_AS(save_population(population, folder / "p"), Error);
  };
  refused([](Population& p) { p.split.pop_back(); });
  refused([](Population& p) { p.networks[0].weights.pop_back(); });
  refused([](Population& p) { p.networks[0].weights[0] = HUGE_VALF; });
  refused([](Population& p) { p.networks[0].name = "net-1"; });
  refused([](Population& p) { p.networks[0].run = "run-net-1"; });
  refused([](Population& p) { p.networks[0].run = "\xff"; });
  refused([](Population& p) { p.attributes[0] = 3; });
  refused([](Population& p) { p.attributes[0]["widths"] = 3; });
  CHECK(folder.entries() == 0);
}

TEST_CASE("random damage to a manifest loads or is an input error, nothing else") {
  const TemporaryFolder folder;
  save_population(small_population(), folder / "p");
  const std::filesystem::path file = folder / "p" / "manifest.json";
  const std::string whole = read_bytes(file);
  int refused = 0;
  for (std::uint32_t round = 0; round < 2000; ++round) {
    const RandomStream random(99, 0, round);
    std::string text = whole;
    for (std::uint32_t change = 0; change < 1 + round % 3; ++change) {
      const std::uint32_t position = random.below(3 * change, static_cast<std::uint32_t>(text.size()));
      text[position] = random.below(3 * change + 1, 2) == 0 ? static_cast<char>(random.below(3 * change + 2, 256))
                                                            : "0123456789,:[]{}\"-.e"[random.below(3 * change + 2, 20)];
    }
    write_bytes(file, text);
    refused += error_of(folder / "p").empty() ? 0 : 1;
  }
  CHECK(refused > 800);
  CHECK(refused < 2000);
}

TEST_CASE("a thousand networks of four thousand weights load in well under a second") {
  const TemporaryFolder folder;
  Population population = small_population();
  const SubjectNetwork model = network_of("n", {90, 40, 10, 2}, 5);
  population.networks.assign(1000, model);
  for (std::size_t i = 0; i < 1000; ++i)
    population.networks[i].name = population.networks[i].run = "n" + std::to_string(i);
  population.split.assign(1000, PopulationSplit::train);
  population.attributes.assign(1000, {{"training", {{"epochs", 5}, {"learning_rate", 0.01}}}});
  save_population(population, folder / "p");
  const auto start = std::chrono::steady_clock::now();
  const Population read = load_population(folder / "p");
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  CHECK(read.networks[999].weights == model.weights);
  INFO("seconds: " << seconds);
  CHECK(seconds < 4.0);  // 0.1 s in a release build; sanitisers and busy machines are slower
}
