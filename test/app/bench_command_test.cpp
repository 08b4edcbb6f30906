// `amend bench` as a user runs it, for a moment only.
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "test/support/command_run.hpp"
#include "test/support/data_files.hpp"

using namespace amend;
using namespace amend::test;
using Catch::Contains;

TEST_CASE("bench prints a table and writes the same numbers as JSON", "[cli]") {
  const TemporaryFolder folder;
  const std::string file = folder / "bench.json";
  const auto moment = [&](const std::string& more) {
    return amend_command(
        {"bench", "--device", "cpu", "--threads", "1", "--batch", "1", "--seconds", "0", "--json", file, more});
  };
  const CommandRun run = moment("--force");
  REQUIRE(run.code == kSuccess);
  CHECK_THAT(run.out, Contains("1 thread: copies") && Contains("messages D = H = 64, K = 4, 1 network") &&
                          Contains("edit D = H = 32, K = 1, T = 3, 1 network"));
  const auto json = nlohmann::json::parse(read_bytes(file));
  REQUIRE(json.at("rows").size() == 4);
  CHECK(json.at("device") == "cpu");
  CHECK(json.at("limits").at(0).at("gemm_operations_per_second").get<double>() > 1e8);
  for (const auto& row : json.at("rows")) {
    CHECK(row.at("median_seconds").get<double>() > 0.0);
    CHECK(row.at("operations").get<double>() > 1e6);
    CHECK(row.at("error").get<double>() < 1e-3);
    CHECK(row.at("threads") == 1);
  }
}

TEST_CASE("bench replaces no file and measures no device that is not there", "[cli]") {
  const TemporaryFolder folder;
  const std::string file = folder / "bench.json";
  write_bytes(file, "mine");
  const CommandRun taken = amend_command({"bench", "--json", file});
  CHECK(taken.code == kUserError);
  CHECK_THAT(taken.err, Contains("bench.json"));
  CHECK(read_bytes(file) == "mine");
  const CommandRun device = amend_command({"bench", "--device", "cuda:99"});
  CHECK(device.code == kUserError);
  CHECK(device.out.empty());
}
