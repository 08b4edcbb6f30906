#include "engine/tensor.hpp"

#include <catch2/catch.hpp>
#include <numeric>

using namespace amend;

TEST_CASE("shapes know their rank, extents and count", "[engine]") {
  CHECK(Shape{}.rank() == 0);
  CHECK(Shape{}.count() == 1);
  CHECK(Shape{3, 4, 5}.rank() == 3);
  CHECK(Shape{3, 4, 5}.count() == 60);
  CHECK(Shape{3, 4, 5}[2] == 5);
  CHECK(Shape{3, 0, 5}.count() == 0);
  CHECK(Shape{3, 4} == Shape{3, 4});
  CHECK_FALSE(Shape{3, 4} == Shape{4, 3});
  CHECK_FALSE(Shape{3} == Shape{3, 1});
  CHECK(to_string(Shape{3, 4}) == "(3, 4)");
  CHECK(to_string(Shape{}) == "()");
}

TEST_CASE("shapes reject a fifth axis and negative extents", "[engine]") {
  CHECK_NOTHROW(Shape{1, 2, 3, 4});
  CHECK_THROWS_WITH((Shape{1, 2, 3, 4, 5}), Catch::Equals("[shape] expected at most 4 axes, got 5"));
  CHECK_THROWS_WITH((Shape{2, -1}), Catch::Equals("[shape] expected an extent of 0 or more, got -1"));
}

TEST_CASE("element types have a size and a name", "[engine]") {
  CHECK(size_of(DType::float32) == sizeof(float));
  CHECK(size_of(DType::float64) == sizeof(double));
  CHECK(size_of(DType::int32) == sizeof(std::int32_t));
  CHECK(to_string(dtype_of<float>()) == "float32");
  CHECK(to_string(dtype_of<double>()) == "float64");
  CHECK(to_string(dtype_of<std::int32_t>()) == "int32");
}

TEST_CASE("tensors own zero-filled memory that copies share", "[engine]") {
  Tensor tensor({2, 3}, DType::float32);
  REQUIRE(tensor);
  for (int i = 0; i < 6; ++i) CHECK(tensor.as<float>()[i] == 0.0f);
  const Tensor copy = tensor;
  tensor.as<float>()[5] = 2.0f;
  CHECK(copy.as<float>()[5] == 2.0f);
  CHECK(tensor.view().bytes() == 24);
}

TEST_CASE("absent and empty tensors differ", "[engine]") {
  CHECK_FALSE(TensorView{});
  CHECK_FALSE(Tensor{});
  CHECK(TensorView{}.count() == 0);
  CHECK(Tensor({0, 4}, DType::float32));
}

TEST_CASE("reading a tensor as another element type is an error", "[engine]") {
  const Tensor tensor({2}, DType::float32);
  CHECK_THROWS_WITH(tensor.as<double>(), Catch::Equals("[tensor] expected float64, got float32"));
  CHECK_THROWS_WITH(tensor.as<std::int32_t>(), Catch::Equals("[tensor] expected int32, got float32"));
}

TEST_CASE("reshape keeps the memory and the count", "[engine]") {
  const Tensor tensor({2, 6}, DType::float64);
  const TensorView view = reshape(tensor, {3, 4});
  CHECK(view.data == tensor.view().data);
  CHECK(view.shape == Shape{3, 4});
  CHECK(view.dtype == DType::float64);
  CHECK_THROWS_WITH(reshape(tensor, {5}), Catch::Equals("[reshape] expected 12 elements, got (5)"));
}

TEST_CASE("row slices start at the right element for every rank", "[engine]") {
  const Tensor tensor({24}, DType::int32);
  std::iota(tensor.as<std::int32_t>(), tensor.as<std::int32_t>() + 24, 0);
  for (const Shape& shape : {Shape{24}, Shape{6, 4}, Shape{6, 2, 2}, Shape{6, 1, 2, 2}}) {
    const std::int32_t row = static_cast<std::int32_t>(24 / shape[0]);
    const TensorView slice = slice_rows(reshape(tensor, shape), 2, 3);
    CHECK(slice.shape.rank() == shape.rank());
    CHECK(slice.extent(0) == 3);
    CHECK(slice.count() == 3 * row);
    CHECK(slice.as<std::int32_t>()[0] == 2 * row);
  }
}

TEST_CASE("row slices outside the tensor are errors", "[engine]") {
  const Tensor tensor({6, 4}, DType::float32);
  CHECK(slice_rows(tensor, 6, 0).count() == 0);
  CHECK(slice_rows(tensor, 0, 6).count() == 24);
  CHECK_THROWS_WITH(slice_rows(tensor, 4, 3), Catch::Equals("[slice_rows] rows 4 to 7 are outside (6, 4)"));
  CHECK_THROWS_AS(slice_rows(tensor, -1, 2), Error);
  CHECK_THROWS_AS(slice_rows(tensor, 2, -1), Error);
  CHECK_THROWS_AS(slice_rows(reshape(Tensor({1}, DType::float32), {}), 0, 1), Error);
}
