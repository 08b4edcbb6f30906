#include "engine/pipeline.hpp"

#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

using namespace amend;

namespace {

/// Where three stages meet: each waits for the other two.
class Meeting {
 public:
  /// Whether the others came.
  bool arrive() {
    std::unique_lock lock(mutex_);
    ++arrived_;
    changed_.notify_all();
    return changed_.wait_for(lock, std::chrono::seconds(20), [this] { return arrived_ == 3; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int arrived_ = 0;
};

void doze(int milliseconds) { std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds)); }

}  // namespace

TEST_CASE("a pipeline takes every item through its stages, in order") {
  for (const std::size_t count : {0u, 1u, 2u, 7u}) {
    std::vector<std::size_t> read, computed, written;
    CHECK(run_pipeline(count, {.read = [&](std::size_t item) { read.push_back(item); },
                               .compute =
                                   [&](std::size_t item) {
                                     computed.push_back(item);
                                     return true;
                                   },
                               .write = [&](std::size_t item) { written.push_back(item); }}));
    std::vector<std::size_t> all;
    for (std::size_t item = 0; item < count; ++item) all.push_back(item);
    CHECK(read == all);
    CHECK(computed == all);
    CHECK(written == all);
  }
}

TEST_CASE("a pipeline reads an item and writes another while it computes the one between") {
  constexpr std::size_t kCount = 5;
  // Of computing item k, reading k + 1 and writing k - 1.
  std::vector<Meeting> meeting(kCount);
  std::atomic<bool> met = true;
  const auto meet = [&](std::size_t item) {
    if (item >= 1 && item + 1 < kCount && !meeting[item].arrive()) met = false;
  };
  run_pipeline(kCount, {.read = [&](std::size_t item) { meet(item == 0 ? 0 : item - 1); },
                        .compute =
                            [&](std::size_t item) {
                              meet(item);
                              return true;
                            },
                        .write = [&](std::size_t item) { meet(item + 1); }});
  CHECK(met.load());
}

TEST_CASE("a pipeline needs two places for what it reads and two for what it computes") {
  // One stage is slow, in turn: the others must not run ahead of it.
  for (int slow = 0; slow < 3; ++slow) {
    std::atomic<std::size_t> computed = 0, written = 0;
    std::atomic<bool> ahead = false;
    run_pipeline(10, {.read =
                          [&](std::size_t item) {
                            if (item > computed + 1) ahead = true;
                            doze(slow == 0 ? 2 : 0);
                          },
                      .compute =
                          [&](std::size_t item) {
                            if (item > written + 1) ahead = true;
                            doze(slow == 1 ? 2 : 0);
                            ++computed;
                            return true;
                          },
                      .write =
                          [&](std::size_t) {
                            doze(slow == 2 ? 2 : 0);
                            ++written;
                          }});
    CAPTURE(slow);
    CHECK_FALSE(ahead.load());
    CHECK(written.load() == 10);
  }
}

TEST_CASE("what a stage throws ends a pipeline when the other stages are done") {
  for (const std::string failing : {"read", "compute", "write"}) {
    CAPTURE(failing);
    std::atomic<int> running = 0;
    std::atomic<std::size_t> last_computed = 0, written = 0;
    const auto stage = [&](const std::string& name, std::size_t item) {
      ++running;
      doze(1);
      --running;
      if (name == failing && item == 3) throw std::runtime_error(name + " failed");
    };
    CHECK_THROWS_WITH(run_pipeline(9, {.read = [&](std::size_t item) { stage("read", item); },
                                       .compute =
                                           [&](std::size_t item) {
                                             last_computed = item;
                                             stage("compute", item);
                                             return true;
                                           },
                                       .write =
                                           [&](std::size_t item) {
                                             stage("write", item);
                                             ++written;
                                           }}),
                      failing + " failed");
    CHECK(running.load() == 0);
    CHECK(written.load() <= 3);
    CHECK(last_computed.load() <= (failing == "read" ? 2u : failing == "compute" ? 3u : 4u));
  }
}

TEST_CASE("a pipeline ends early when its computation says so") {
  std::atomic<std::size_t> last_read = 0, written = 0;
  CHECK_FALSE(run_pipeline(9, {.read = [&](std::size_t item) { last_read = item; },
                               .compute = [](std::size_t item) { return item < 3; },
                               .write = [&](std::size_t) { ++written; }}));
  CHECK(last_read.load() <= 4);
  CHECK(written.load() <= 3);
}
