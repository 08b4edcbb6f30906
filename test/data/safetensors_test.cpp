#include "metanet/data/safetensors.hpp"

#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "engine/random.hpp"
#include "metanet/data/float16.hpp"
#include "test/support/data_files.hpp"

using namespace amend;
using namespace amend::test;
using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;

namespace {

std::string file_of(const std::string& header, std::size_t data_bytes, std::uint64_t length) {
  std::string file(8, '\0');
  std::memcpy(file.data(), &length, 8);
  return file + header + std::string(data_bytes, '\x11');
}
std::string file_of(const std::string& header, std::size_t data_bytes) {
  return file_of(header, data_bytes, header.size());
}

SafetensorsFile parse(const std::string& bytes) {
  return parse_safetensors(std::as_bytes(std::span(bytes)), "a.safetensors");
}

template <class T>
SafetensorsTensor tensor_of(const std::string& dtype, const std::vector<T>& values) {
  const auto bytes = std::as_bytes(std::span(values));
  return {"t", dtype, {static_cast<std::int64_t>(values.size())}, {bytes.begin(), bytes.end()}};
}

/// Value of the bits of an IEEE half, from its definition.
double half_value(std::uint16_t bits) {
  const int exponent = (bits >> 10) & 31, fraction = bits & 1023;
  const double magnitude = exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
  return (bits & 0x8000) != 0 ? -magnitude : magnitude;
}

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

}  // namespace

TEST_CASE("safetensors written by the reference library are read") {
  // safetensors 0.8.0, Python: save({"0.weight": float32, "0.bias": float16, "steps": int64}, metadata)
  const std::string header =
      "{\"__metadata__\":{\"format\":\"np\",\"a\":\"\xc3\xa9\"},\"steps\":{\"dtype\":\"I64\",\"shape\":[],\"data_"
      "offsets\":[0,8]},"
      "\"0.weight\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[8,24]},"
      "\"0.bias\":{\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[24,28]}}    ";
  const std::string data(
      "\x07\0\0\0\0\0\0\0"
      "\0\0\x80?"
      "\0\0 \xc0"
      "\0\0\0?"
      "\0\0@@"
      "\0\x34\0\xbc",
      28);
  const SafetensorsFile file = parse(file_of(header, 0) + data);
  REQUIRE(file.tensors.size() == 3);
  CHECK(file.metadata == std::map<std::string, std::string>{{"a", "\xc3\xa9"}, {"format", "np"}});
  CHECK(file.tensors[0].name == "steps");
  CHECK(file.tensors[0].shape.empty());
  CHECK(file.tensors[0].bytes.size() == 8);
  CHECK(file.tensors[1].shape == std::vector<std::int64_t>{2, 2});
  CHECK(read_floats(file.tensors[1], "a") == std::vector<float>{1, -2.5, 0.5, 3});
  CHECK(file.tensors[2].dtype == "F16");
  CHECK(read_floats(file.tensors[2], "a") == std::vector<float>{0.25, -1});
}

TEST_CASE("safetensors keep order, shapes, dtypes, names, metadata and bytes") {
  const TemporaryFolder folder;
  SafetensorsFile file;
  file.metadata = {{"format", "pt"}, {"quote\"\n", "\xc3\xa9\\"}};
  file.tensors = {make_float_tensor("z \"quoted\"", {2, 3}, std::vector<float>{1, 2, 3, 4, 5, -0.0f}),
                  tensor_of("BOOL", std::vector<std::uint8_t>{1, 0, 1}),
                  {"scalar", "I64", {}, std::vector<std::byte>(8, std::byte{7})},
                  {"empty", "F16", {0, 5}, {}},
                  {"a", "BF16", {1}, {std::byte{0x80}, std::byte{0x3f}}}};
  save_safetensors(folder / "a.safetensors", file);
  const SafetensorsFile read = load_safetensors(folder / "a.safetensors");
  CHECK(read.metadata == file.metadata);
  REQUIRE(read.tensors.size() == file.tensors.size());
  for (std::size_t i = 0; i < file.tensors.size(); ++i) {
    CHECK(read.tensors[i].name == file.tensors[i].name);
    CHECK(read.tensors[i].dtype == file.tensors[i].dtype);
    CHECK(read.tensors[i].shape == file.tensors[i].shape);
    CHECK(read.tensors[i].bytes == file.tensors[i].bytes);
  }
  std::uint64_t length = 0;
  const std::string bytes = read_bytes(folder / "a.safetensors");
  std::memcpy(&length, bytes.data(), 8);
  CHECK(length % 8 == 0);
  CHECK(read.find("a")->bytes == file.tensors[4].bytes);
  CHECK(read.find("absent") == nullptr);
  CHECK(folder.entries() == 1);
}

TEST_CASE("malformed safetensors are errors that name the file and what is wrong") {
  const std::string ok = R"({"t":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
  REQUIRE(parse(file_of(ok, 8)).tensors.size() == 1);
  CHECK(parse(file_of(ok + "   ", 8)).tensors.size() == 1);
  CHECK(parse(file_of("{}", 0)).tensors.empty());
  const auto entry = [](const std::string& name, const std::string& dtype, const std::string& shape,
                        const std::string& offsets) {
    return "\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape + ",\"data_offsets\":" + offsets + "}";
  };
  const auto one = [&](const std::string& dtype, const std::string& shape, const std::string& offsets) {
    return "{" + entry("t", dtype, shape, offsets) + "}";
  };
  const auto two = [&](const std::string& first, const std::string& second) {
    return "{" + entry("t", "F32", "[2]", first) + "," + entry("u", "F32", "[2]", second) + "}";
  };
  struct Case {
    std::string bytes, message;
  };
  const std::vector<Case> cases{
      {"", "truncated"},
      {"1234567", "truncated"},
      {file_of("", 0), "header"},
      {file_of(ok, 7), "truncated"},
      {file_of(ok, 9), "expected 8 bytes of data"},
      {file_of(ok, 0, 1000), "truncated: expected a header of 1000"},
      {file_of(ok, 8, 100'000'001), "at most 100000000"},
      {file_of(ok, 8, ~std::uint64_t{0}), "at most 100000000"},
      {file_of("[]", 0), "'{'"},
      {file_of(" " + ok, 8), "'{'"},
      {file_of("{} x", 0), "valid JSON"},
      {file_of("{}{}", 0), "valid JSON"},
      {file_of(ok.substr(0, 20), 8), "valid JSON"},
      {file_of(std::string("{}\0{", 4), 0), "zero byte"},
      {file_of("{\"\xff\":1}", 0), "valid JSON"},
      {file_of("{\"t\":{\"t\":{\"t\":{\"t\":{}}}}}", 0), "nested"},
      {file_of("{" + entry("t", "F32", "[2]", "[0,8]") + "," + entry("t", "F32", "[2]", "[8,16]") + "}", 16), "twice"},
      {file_of(R"({"t":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 8), "twice"},
      {file_of(R"({"t":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":1}})", 8), "more keys"},
      {file_of(R"({"t":{"dtype":"F32","shape":[2]}})", 8), "data_offsets"},
      {file_of(R"({"t":{"shape":[2],"data_offsets":[0,8]}})", 8), "dtype"},
      {file_of(R"({"t":[1,2]})", 8), "expected an object"},
      {file_of(R"({"t":{"dtype":4,"shape":[2],"data_offsets":[0,8]}})", 8), "expected a string"},
      {file_of(one("F31", "[2]", "[0,8]"), 8), "unknown dtype \"F31\""},
      {file_of(one("F32", "2", "[0,8]"), 8), "shape"},
      {file_of(one("F32", "[2.0]", "[0,8]"), 8), "whole numbers"},
      {file_of(one("F32", "[-2]", "[0,8]"), 8), "whole numbers"},
      {file_of(one("F32", "[1e400]", "[0,8]"), 8), "valid JSON"},
      {file_of(one("F32", "[18446744073709551615]", "[0,8]"), 8), "64 bits"},
      {file_of(one("F32", "[4611686018427387905]", "[0,4]"), 4), "64 bits"},  // times 4 wraps to 4
      {file_of(one("F32", "[4294967296,4294967296]", "[0,0]"), 0), "64 bits"},
      {file_of(one("F32", "[3]", "[0,8]"), 8), "expected 12 bytes"},
      {file_of(one("F64", "[2]", "[0,8]"), 8), "expected 16 bytes"},
      {file_of(one("F32", "[2]", "[8,0]"), 8), "in order"},
      {file_of(one("F32", "[2]", "[0,8,8]"), 8), "[begin, end]"},
      {file_of(one("F32", "[2]", "[-8,0]"), 8), "whole numbers"},
      {file_of(one("F32", "[2]", "[1000,1008]"), 8), "gap"},
      {file_of(one("F32", "[1000000000000]", "[0,4000000000000]"), 8), "truncated"},
      {file_of(two("[0,8]", "[4,12]"), 12), "overlaps"},
      {file_of(two("[0,8]", "[0,8]"), 8), "overlaps"},
      {file_of(two("[0,8]", "[12,20]"), 20), "gap"},
      {file_of(two("[4,12]", "[12,20]"), 20), "gap"},
      {file_of(R"({"__metadata__":{"a":1}})", 0), "strings"},
      {file_of(R"({"__metadata__":"a"})", 0), "object"},
      {file_of(R"({"__metadata__":{},"__metadata__":{}})", 0), "twice"},
  };
  const TemporaryFolder folder;
  for (const Case& bad : cases) {
    CAPTURE(bad.bytes.substr(0, 200));
    const std::string message = input_error([&] { parse(bad.bytes); });
    CHECK_THAT(message, StartsWith("a.safetensors") && Contains(bad.message));
    write_bytes(folder / "a.safetensors", bad.bytes);
    CHECK_THAT(input_error([&] { load_safetensors(folder / "a.safetensors"); }),
               StartsWith((folder / "a.safetensors").string()) && Contains(bad.message));
  }
  CHECK_THAT(input_error([&] { load_safetensors(folder / "absent"); }), Contains("absent"));
  CHECK_THAT(input_error([&] { load_safetensors(folder.path()); }), Contains("found none"));
}

TEST_CASE("numbers that are not finite name tensor and element, unless they are kept") {
  const SafetensorsTensor bad = make_float_tensor("fc.weight", {3}, std::vector<float>{1, 2, kNaN});
  CHECK_THAT(input_error([&] { read_floats(bad, "a.st"); }),
             StartsWith("a.st") && Contains("fc.weight") && Contains("element 2"));
  CHECK(std::isnan(read_floats(bad, "a.st", NonFinite::keep)[2]));
  CHECK_THAT(input_error([&] {
               read_floats(tensor_of("F16", std::vector<std::uint16_t>{0, 0x7C00}), "a");
             }),
             Contains("element 1"));
  CHECK_THAT(input_error([&] { read_floats(tensor_of("BF16", std::vector<std::uint16_t>{0xFF80}), "a"); }),
             Contains("element 0"));
  CHECK_THAT(input_error([&] { read_floats(tensor_of("F64", std::vector<double>{1e39}), "a"); }), Contains("float32"));
  CHECK(read_floats(tensor_of("F64", std::vector<double>{3.4028235e38, 0.1}), "a") ==
        std::vector<float>{3.4028235e38f, 0.1f});
  CHECK_THAT(input_error([&] { read_floats(tensor_of("I32", std::vector<std::int32_t>{1}), "a"); }),
             Contains("F64, F32, F16 or BF16, got I32"));
}

TEST_CASE("float16 conversions are exact and round to nearest even") {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    if ((half & 0x7C00) == 0x7C00 && (half & 0x3FF) != 0) {
      if (!std::isnan(f16_to_float(half)) || !std::isnan(f16_to_float(float_to_f16(f16_to_float(half))))) FAIL(bits);
    } else if ((half & 0x7FFF) < 0x7C00) {
      if (static_cast<double>(f16_to_float(half)) != half_value(half)) FAIL(bits);
    }
    if (!std::isnan(f16_to_float(half)) && float_to_f16(f16_to_float(half)) != half) FAIL(bits);
    if (!std::isnan(bf16_to_float(half)) && float_to_bf16(bf16_to_float(half)) != half) FAIL(bits);
    if (std::isnan(bf16_to_float(half)) && !std::isnan(bf16_to_float(float_to_bf16(bf16_to_float(half))))) FAIL(bits);
  }
  // Half-way between neighbours goes to the even one, anything beside half-way to the nearer one.
  for (std::uint32_t bits = 0; bits < 0x7BFF; ++bits) {
    const auto lower = static_cast<std::uint16_t>(bits), upper = static_cast<std::uint16_t>(bits + 1);
    const auto middle = static_cast<float>((half_value(lower) + half_value(upper)) / 2);
    if (float_to_f16(middle) != ((bits & 1) == 0 ? lower : upper)) FAIL(bits);
    if (float_to_f16(std::nextafter(middle, 0.0f)) != lower) FAIL(bits);
    if (float_to_f16(-std::nextafter(middle, kInfinity)) != (upper | 0x8000)) FAIL(bits);
  }
  CHECK(float_to_f16(65519.99f) == 0x7BFF);
  CHECK(float_to_f16(65520.0f) == 0x7C00);
  CHECK(float_to_f16(-kInfinity) == 0xFC00);
  CHECK(float_to_f16(1e-40f) == 0);
  CHECK(float_to_bf16(1.00390625f) == 0x3F80);  // 1 + 2^-8: tie, to even
  CHECK(float_to_bf16(1.01171875f) == 0x3F82);  // 1 + 3 * 2^-8: tie, to even
  CHECK(float_to_bf16(1.00390637f) == 0x3F81);
  CHECK(float_to_bf16(3.4e38f) == 0x7F80);
}

TEST_CASE("writing numbers keeps the bytes of those that did not change") {
  SafetensorsTensor wide = tensor_of("F64", std::vector<double>{0.1, 0.2, 0.3});
  const std::vector<std::byte> before = wide.bytes;
  std::vector<float> values = read_floats(wide, "a");
  write_floats(wide, values, "a");
  CHECK(wide.bytes == before);
  values[1] = 0.0f;
  write_floats(wide, values, "a");
  double first = 0, second = 1;
  std::memcpy(&first, wide.bytes.data(), 8);
  std::memcpy(&second, wide.bytes.data() + 8, 8);
  CHECK(first == 0.1);
  CHECK(second == 0.0);
  SafetensorsTensor half = tensor_of("F16", std::vector<std::uint16_t>{0x3C00, 0x8000});
  write_floats(half, std::vector<float>{1.0f / 3, 0.0f}, "a");
  CHECK(read_floats(half, "a") == std::vector<float>{0.333251953125f, 0.0f});
  CHECK(half.bytes[3] == std::byte{0});  // minus zero became zero
  CHECK_THAT(input_error([&] {
               write_floats(half, std::vector<float>{1, 1e6f}, "a");
             }),
             Contains("element 1") && Contains("F16"));
  CHECK_THROWS_AS(write_floats(half, std::vector<float>{1}, "a"), Error);
}

TEST_CASE("a safetensors file that contradicts itself is not written") {
  const TemporaryFolder folder;
  const SafetensorsTensor good = make_float_tensor("t", {2}, std::vector<float>{1, 2});
  SafetensorsTensor wrong = good;
  wrong.shape = {3};
  SafetensorsTensor unknown = good;
  unknown.dtype = "F31";
  SafetensorsTensor reserved = good;
  reserved.name = "__metadata__";
  for (const auto& tensors : {std::vector{good, good}, {wrong}, {unknown}, {reserved}})
    CHECK_THROWS_AS(save_safetensors(folder / "a", {tensors, {}}), Error);
  CHECK(folder.entries() == 0);
}

TEST_CASE("a failing write leaves the old file whole") {
  const TemporaryFolder folder;
  save_safetensors(folder / "a", {{make_float_tensor("t", {2}, std::vector<float>{1, 2})}, {}});
  const std::string before = read_bytes(folder / "a");
  const std::vector<float> many(100'000, 1.0f);
  {
    const FileSizeLimit limit(4096);
    CHECK_THAT(input_error([&] {
                 save_safetensors(folder / "a", {{make_float_tensor("t", {100'000}, many)}, {}});
               }),
               StartsWith((folder / "a").string()) && Contains("cannot be written"));
  }
  CHECK(read_bytes(folder / "a") == before);
  CHECK(folder.entries() == 1);
  save_safetensors(folder / "a", {{make_float_tensor("t", {100'000}, many)}, {}});
  CHECK(load_safetensors(folder / "a").tensors[0].bytes.size() == 400'000);
}

TEST_CASE("written files follow links, keep modes, make folders and never replace a device") {
  const TemporaryFolder folder;
  const SafetensorsFile file{{make_float_tensor("t", {1}, std::vector<float>{1})}, {}};
  save_safetensors(folder / "deep/er/a", file);
  std::filesystem::permissions(folder / "deep/er/a", std::filesystem::perms::owner_all);
  std::filesystem::create_symlink(folder / "deep/er/a", folder / "link");
  write_bytes(folder / "deep/er/a", "old");
  save_safetensors(folder / "link", file);
  CHECK(std::filesystem::is_symlink(folder / "link"));
  CHECK(load_safetensors(folder / "deep/er/a").tensors.size() == 1);
  CHECK(std::filesystem::status(folder / "deep/er/a").permissions() == std::filesystem::perms::owner_all);
  CHECK_THAT(input_error([&] { save_safetensors("/dev/null", file); }), Contains("regular file"));
  CHECK(std::filesystem::is_character_file("/dev/null"));
  CHECK_THAT(input_error([&] { save_safetensors(folder.path(), file); }), Contains("regular file"));
  CHECK_THAT(input_error([&] { save_safetensors(folder / "link" / "below", file); }), Contains("below"));
}

TEST_CASE("random damage to a safetensors file loads or is an input error, nothing else") {
  const TemporaryFolder folder;
  save_safetensors(folder / "a", {{make_float_tensor("0.weight", {2, 3}, std::vector<float>{1, 2, 3, 4, 5, 6}),
                                   make_float_tensor("0.bias", {2}, std::vector<float>{1, 2}),
                                   tensor_of("F16", std::vector<std::uint16_t>{1, 2})},
                                  {{"format", "pt"}}});
  const std::string whole = read_bytes(folder / "a");
  int loaded = 0, refused = 0;
  for (std::uint32_t round = 0; round < 6000; ++round) {
    const RandomStream random(2024, 0, round);
    std::string bytes = whole;
    const std::uint32_t changes = 1 + random.below(0, 4);
    for (std::uint32_t change = 1; change <= changes; ++change) {
      const std::uint32_t position = random.below(3 * change, static_cast<std::uint32_t>(bytes.size()));
      // Half of them are digits and brackets, which get further than any byte does.
      bytes[position] = random.below(3 * change + 1, 2) == 0
                            ? static_cast<char>(random.below(3 * change + 2, 256))
                            : "0123456789,:[]{}\"-.e"[random.below(3 * change + 2, 20)];
    }
    if (round % 16 == 0) bytes.resize(random.below(1000, static_cast<std::uint32_t>(bytes.size())));
    try {
      for (const SafetensorsTensor& tensor : parse(bytes).tensors)
        if (is_float_dtype(tensor.dtype)) read_floats(tensor, "a");
      ++loaded;
    } catch (const InputError&) {
      ++refused;
    }
  }
  CHECK(loaded > 300);
  CHECK(refused > 3000);
}
