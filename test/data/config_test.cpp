#include "metanet/data/config.hpp"

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "engine/error.hpp"
#include "test/support/data_files.hpp"

using amend::Config;
using amend::InputError;
using Catch::Matchers::Contains;
using Catch::Matchers::Message;

namespace {

Config parse(const std::string& text) { return Config::parse(text, "a.yaml"); }

}  // namespace

TEST_CASE("config reads values, lists, ranges and mappings") {
  const Config config = parse(
      "name: demo\nsteps: 300\nseed: 18446744073709551615\nlr: 1e-3\nema: yes\nwidths: [8, 16]\nepochs: [2, 9]\n"
      "depth: 3\nempty:\nmodel: {hidden: 16, layers: {count: 2}}\nruns:\n  - {id: 1}\n  - {id: 2}\n");
  CHECK(config.require<std::string>("name") == "demo");
  CHECK(config.require<int>("steps") == 300);
  CHECK(config.require<std::uint64_t>("seed") == 18446744073709551615u);
  CHECK(config.get<double>("lr", 1.0) == 1e-3);
  CHECK(config.get<double>("absent", 0.25) == 0.25);
  CHECK(config.get("absent", "text") == "text");
  CHECK(config.require<bool>("ema"));
  CHECK(config.list<int>("widths") == std::vector<int>{8, 16});
  CHECK(config.list<int>("steps") == std::vector<int>{300});
  CHECK(config.list<int>("absent", {1, 2}) == std::vector<int>{1, 2});
  CHECK(config.require_range<int>("epochs").low == 2);
  CHECK(config.require_range<int>("epochs").high == 9);
  CHECK(config.get_range<int>("depth", {1, 1}).high == 3);
  CHECK(config.get_range<double>("absent", {1, 4}).high == 4);
  CHECK(config.child("model").child("layers").require<int>("count") == 2);
  CHECK(config.child("absent").keys().empty());
  CHECK(config.child("empty").keys().empty());
  REQUIRE(config.children("runs").size() == 2);
  CHECK(config.children("runs")[1].require<int>("id") == 2);
  CHECK(config.children("runs")[1].where("id") == "a.yaml: runs[1].id");
  CHECK(config.has("empty"));
  CHECK_FALSE(config.has("absent"));
}

TEST_CASE("config errors name the file, the key and what was expected") {
  const Config config = parse("train: {lr: -1, steps: 2.5, count: 99999999999, widths: [3, x], flag: 1, nan: .nan}\n");
  const Config train = config.child("train");
  CHECK_THROWS_MATCHES(train.get<double>("lr", 1.0, amend::above(0)), InputError,
                       Message("a.yaml: train.lr: expected a number > 0, got `-1`"));
  CHECK_THROWS_MATCHES(train.require<int>("steps"), InputError,
                       Message("a.yaml: train.steps: expected a whole number, got `2.5`"));
  CHECK_THROWS_AS(train.require<int>("count"), InputError);
  CHECK(train.require<std::int64_t>("count") == 99999999999);
  CHECK_THROWS_MATCHES(train.list<int>("widths", {}, amend::between(1, 8)), InputError,
                       Message("a.yaml: train.widths[1]: expected a whole number from 1 to 8, got `x`"));
  CHECK_THROWS_AS(train.require<bool>("flag"), InputError);
  CHECK_THROWS_AS(train.require<double>("nan"), InputError);
  CHECK_THROWS_AS(train.require<std::uint64_t>("lr"), InputError);
  CHECK_THROWS_MATCHES(train.require<double>("widths"), InputError,
                       Message("a.yaml: train.widths: expected a number, got a list of 2"));
  CHECK_THROWS_MATCHES(train.require<int>("epochs"), InputError,
                       Message("a.yaml: train.epochs: missing; expected a whole number"));
  CHECK_THROWS_MATCHES(train.choice("lr", "a", {"a", "b"}), InputError,
                       Message("a.yaml: train.lr: expected one of a, b, got `-1`"));
  CHECK_THROWS_AS(train.child("lr"), InputError);
  CHECK_THROWS_AS(config.children("train"), InputError);
}

TEST_CASE("config ranges must be ordered pairs") {
  CHECK_THROWS_AS(parse("r: [4, 2]\n").require_range<int>("r"), InputError);
  CHECK_THROWS_AS(parse("r: [1, 2, 3]\n").require_range<int>("r"), InputError);
  CHECK_THROWS_AS(parse("r: [-1, 2]\n").require_range<double>("r", amend::above(0)), InputError);
}

TEST_CASE("config rejects unknown keys and names the nearest") {
  const Config config = parse("train: {learning_rat: 1}\n");
  CHECK_THROWS_MATCHES(config.child("train").allow_only({"epochs", "learning_rate", "seed"}), InputError,
                       Message("a.yaml: train.learning_rat: unknown key; did you mean `learning_rate`?"));
  CHECK_NOTHROW(config.allow_only({"train"}));
  CHECK(amend::nearest_name("kitten", {"mitten", "sitting"}) == "mitten");
  CHECK(amend::nearest_name("x", {}).empty());
}

TEST_CASE("config rejects malformed documents") {
  CHECK_THROWS_WITH(parse("a: 1\nb: [1, 2\nc: 3\n"), Contains("a.yaml: line 3") && Contains("not valid YAML"));
  CHECK_THROWS_WITH(parse("a: {b: 1, c: 2, b: 3}\n"), Contains("a.yaml: a.b: duplicate key on line 1"));
  CHECK_THROWS_AS(parse(""), InputError);
  CHECK_THROWS_AS(parse("just text"), InputError);
  CHECK_THROWS_AS(parse("- 1\n- 2\n"), InputError);
  CHECK_THROWS_AS(parse("a: 1\n---\nb: 2\n"), InputError);
  CHECK_THROWS_AS(parse("? [1, 2]\n: x\n"), InputError);
  CHECK_THROWS_AS(parse("a: *nobody\n"), InputError);
  CHECK_THROWS_AS(parse("a: \x01\xff\n\t- b"), InputError);
  CHECK_THROWS_AS(parse("a: " + std::string(300, '[') + std::string(300, ']') + "\n"), InputError);
  CHECK_THROWS_AS(parse("a: " + std::string(100000, '[') + "\n"), InputError);
}

TEST_CASE("config rejects aliases to lists and mappings") {
  CHECK_THROWS_WITH(parse("a: &x\n  b: *x\n"), Contains("a.yaml: a.b") && Contains("alias"));
  CHECK_THROWS_AS(parse("a: &x [1]\nb: *x\n"), InputError);
}

TEST_CASE("the canonical text ignores comments and layout and nothing else") {
  const std::string reference = parse("a: 1\nb: [x, y]\n").canonical();
  CHECK(parse("# comment\na:   1\nb:\n  - x\n  - y\n").canonical() == reference);
  CHECK(parse("a: 1\nb: [xy]\n").canonical() != reference);
  CHECK(parse("a: 1\nb: {x: y}\n").canonical() != reference);
  CHECK(parse("b: [x, y]\na: 1\n").canonical() != reference);
}

TEST_CASE("config files that cannot be read are named") {
  CHECK_THROWS_WITH(Config::load("/nonexistent/a.yaml"), Contains("/nonexistent/a.yaml: no such file"));
  CHECK_THROWS_WITH(Config::load(std::filesystem::temp_directory_path()), Contains("got a folder"));
  CHECK_THROWS_WITH(Config::load("/dev/zero"), Contains("/dev/zero: expected a regular file"));
  const amend::test::TemporaryFolder folder;
  amend::test::write_bytes(folder / "large.yaml", "");
  std::filesystem::resize_file(folder / "large.yaml", (std::uintmax_t{16} << 20) + 1);
  CHECK_THROWS_WITH(Config::load(folder / "large.yaml"), Contains("large.yaml: expected a YAML file of at most"));
}
