#include "engine/pipeline.hpp"

#include <condition_variable>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

namespace amend {
namespace {

/// A thread that does one stage, an item at a time.
class StageThread {
 public:
  explicit StageThread(const std::function<void(std::size_t)>& stage) : stage_(stage), thread_([this] { run(); }) {}

  /// Waits for the item under way; nobody hears of its exception any more.
  ~StageThread() {
    {
      const std::lock_guard lock(mutex_);
      ending_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }
  StageThread(const StageThread&) = delete;
  StageThread& operator=(const StageThread&) = delete;

  /// Begins an item; the one before is done (`wait`).
  void start(std::size_t item) {
    {
      const std::lock_guard lock(mutex_);
      item_ = item;
    }
    changed_.notify_all();
  }

  /// Until the item is done. Rethrows what it threw.
  void wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !item_; });
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
  }

 private:
  void run() {
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [this] { return item_ || ending_; });
      if (!item_) return;
      const std::size_t item = *item_;
      lock.unlock();
      std::exception_ptr error;
      try {
        stage_(item);
      } catch (...) {
        error = std::current_exception();
      }
      lock.lock();
      error_ = error;
      item_.reset();
      changed_.notify_all();
    }
  }

  const std::function<void(std::size_t)>& stage_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<std::size_t> item_;  // under way
  std::exception_ptr error_;
  bool ending_ = false;
  std::thread thread_;  // last: it uses the others
};

}  // namespace

bool run_pipeline(std::size_t count, const PipelineStages& stages) {
  if (count == 0) return true;
  StageThread reader(stages.read), writer(stages.write);
  reader.start(0);
  for (std::size_t item = 0; item < count; ++item) {
    reader.wait();
    if (item + 1 < count) reader.start(item + 1);
    if (!stages.compute(item)) return false;
    writer.wait();
    writer.start(item);
  }
  writer.wait();
  return true;
}

}  // namespace amend
