#include "engine/parallel.hpp"

#include <omp.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <cmath>
#include <stdexcept>
#include <vector>

#include "engine/random.hpp"

using namespace amend;

TEST_CASE("parallel_for visits every index once", "[engine]") {
  for (int threads : {1, 2, 3, 70}) {
    const ThreadCount guard(threads);
    for (std::int64_t count : {0, 1, 2, 69, 1000}) {
      std::vector<int> visits(static_cast<std::size_t>(count));
      parallel_for(count, [&](std::int64_t i) { ++visits[static_cast<std::size_t>(i)]; });
      CHECK(visits == std::vector<int>(static_cast<std::size_t>(count), 1));
    }
  }
}

TEST_CASE("a thread gets its own indices first, then those that others have left", "[engine]") {
  using Indices = std::vector<std::int64_t>;
  const auto given = [](OwnIndicesFirst& indices, int thread) {
    Indices all;
    indices.for_each(thread, [&](std::int64_t index) { all.push_back(index); });
    return all;
  };
  OwnIndicesFirst indices(7, 3);
  CHECK(given(indices, 1) == Indices{2, 3, 4, 5, 6, 0, 1});
  CHECK(given(indices, 0).empty());

  // Two at once: the second one comes while the first one has one of its own in hand.
  OwnIndicesFirst shared(7, 3);
  Indices second;
  shared.for_each(2, [&](std::int64_t index) {
    CHECK(index == 4);
    second = given(shared, 1);
  });
  CHECK(second == Indices{2, 3, 5, 6, 0, 1});

  OwnIndicesFirst fewer(2, 5);  // than threads
  CHECK(given(fewer, 3) == Indices{1, 0});
  OwnIndicesFirst none(0, 2);
  CHECK(given(none, 0).empty());
}

TEST_CASE("parallel_for runs on as many threads as it was given", "[engine]") {
  const ThreadCount guard(3);
  std::atomic<int> most{0};
  parallel_for(64, [&](std::int64_t) { most = std::max(most.load(), omp_get_num_threads()); });
  CHECK(most == 3);
}

TEST_CASE("parallel_for gives the same bits for any number of threads", "[engine]") {
  const auto run = [](int threads) {
    const ThreadCount guard(threads);
    std::vector<float> sums(37);
    parallel_for(37, [&](std::int64_t index) {
      const RandomStream stream(1, static_cast<std::uint32_t>(index));
      for (std::uint64_t i = 0; i < 500; ++i) sums[static_cast<std::size_t>(index)] += stream.normal(i);
    });
    return sums;
  };
  const std::vector<float> one = run(1);
  CHECK(run(2) == one);
  CHECK(run(3) == one);
}

TEST_CASE("parallel_for rethrows an exception after the other indices are done", "[engine]") {
  for (int threads : {1, 2, 3}) {
    const ThreadCount guard(threads);
    std::atomic<int> done{0};
    const auto body = [&](std::int64_t i) {
      if (i == 5) throw std::runtime_error("index 5");
      ++done;
    };
    CHECK_THROWS_WITH(parallel_for(20, body), "index 5");
    CHECK(done == 19);
  }
}

TEST_CASE("parallel_for rethrows one of several exceptions and that of a single index", "[engine]") {
  const auto always = [](std::int64_t) { throw std::runtime_error("thrown"); };
  CHECK_THROWS_WITH(parallel_for(100, always), "thrown");
  CHECK_THROWS_WITH(parallel_for(1, always), "thrown");
  CHECK_NOTHROW(parallel_for(0, always));
}
