#include "engine/error.hpp"

#include <catch2/catch.hpp>

#include "engine/device.hpp"

using namespace amend;

TEST_CASE("errors begin with the operation", "[engine]") {
  CHECK_THROWS_WITH(fail("linear", "expected ", 64, " rows, got ", 32),
                    Catch::Equals("[linear] expected 64 rows, got 32"));
  CHECK_THROWS_AS(fail("linear", "x"), Error);
  CHECK_THROWS_WITH(check(false, "linear", "expected ", 1), Catch::Equals("[linear] expected 1"));
  CHECK_NOTHROW(check(true, "linear", "expected ", 1));
}

TEST_CASE("input errors begin with the place and are errors of their own kind", "[engine]") {
  CHECK_THROWS_WITH(fail_input("adult.yaml: seed", "expected a number, got `", "x", "`"),
                    Catch::Equals("adult.yaml: seed: expected a number, got `x`"));
  CHECK_THROWS_AS(fail_input("a", "b"), InputError);
  CHECK_THROWS_AS(fail_input("a", "b"), Error);
  // Misuse of an API must not read as a mistake of the user.
  try {
    fail("linear", "x");
  } catch (const InputError&) {
    FAIL("an Error was caught as InputError");
  } catch (const Error&) {
  }
}

TEST_CASE("devices are read from text", "[engine]") {
  CHECK(parse_device("cpu") == Device::cpu());
  CHECK(to_string(Device::cpu()) == "cpu");
  CHECK(to_string(Device::cuda(1)) == "cuda:1");
  CHECK(parse_device("auto").is_cuda() == cuda_unavailable_reason().empty());
  for (const char* text : {"", "gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:99999", "CPU"}) {
    INFO(text);
    CHECK_THROWS_AS(parse_device(text), InputError);
    CHECK_THROWS_WITH(parse_device(text), Catch::StartsWith("--device: "));
  }
}

TEST_CASE("a CUDA device that cannot be used is refused with the reason", "[engine]") {
  const std::string reason = cuda_unavailable_reason(99);
  REQUIRE_FALSE(reason.empty());
  CHECK_THROWS_WITH(parse_device("cuda:99"),
                    Catch::StartsWith("--device: cuda:99 cannot be used: ") && Catch::Contains(reason));
}
