#include "metanet/train/population_trainer.hpp"

#include <fmt/format.h>
#include <omp.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>
#include <utility>

#include "engine/error.hpp"
#include "engine/parallel.hpp"
#include "engine/stream_owner.hpp"
#include "metanet/train/population_plan.hpp"
#include "metanet/train/progress.hpp"
#include "metanet/train/training_pool.hpp"

namespace amend {
namespace {

/// Weights times steps.
std::int64_t total_work(const std::vector<TrainingPlan>& plans) {
  std::int64_t work = 0;
  for (const TrainingPlan& plan : plans) work += plan.weight_count() * plan.steps;
  return work;
}

/// The runs that wait, longest first, lest one of them ends up alone, and what has come of the others. Thread-safe.
class RunQueue {
 public:
  RunQueue(const std::vector<TrainingPlan>& plans, bool progress)
      : networks_(plans.size()), progress_("training the population", total_work(plans), progress) {
    for (const TrainingPlan& plan : plans) waiting_.push_back(&plan);
    std::stable_sort(waiting_.begin(), waiting_.end(),
                     [](const TrainingPlan* a, const TrainingPlan* b) { return a->steps > b->steps; });
  }

  /// At most `count` runs.
  std::vector<const TrainingPlan*> take(std::size_t count) {
    const std::lock_guard lock(mutex_);
    const std::size_t end = std::min(waiting_.size(), started_ + count);
    const std::size_t begin = std::exchange(started_, end);
    return {waiting_.begin() + static_cast<std::ptrdiff_t>(begin), waiting_.begin() + static_cast<std::ptrdiff_t>(end)};
  }

  void advance(std::int64_t work) {
    const std::lock_guard lock(mutex_);
    done_ += work;
    progress_.update(done_, note_);
  }

  void deliver(TrainingPool::Result run) {
    const std::lock_guard lock(mutex_);
    networks_[static_cast<std::size_t>(run.plan->run)] = std::move(run.networks);
    note_ = fmt::format("{} of {} runs done", ++finished_, networks_.size());
  }

  void stop() { stopped_ = true; }
  bool stopped() const { return stopped_; }

  /// The networks of every run, in the order of the plans.
  std::vector<std::vector<SubjectNetwork>> finish() {
    progress_.finish();
    return std::move(networks_);
  }

 private:
  std::mutex mutex_;
  std::vector<const TrainingPlan*> waiting_;
  std::vector<std::vector<SubjectNetwork>> networks_;
  std::size_t started_ = 0, finished_ = 0;
  std::int64_t done_ = 0;
  std::string note_;
  Progress progress_;
  std::atomic<bool> stopped_ = false;
};

/// Networks trained at a time by a thread, and on a device: enough to fill it, few enough for the memory of any.
constexpr int kThreadNetworks = 16, kDeviceNetworks = 4096;
/// Steps of a pool between two looks at what the other threads do.
constexpr int kStepsPerReport = 16;

void train_from(RunQueue& queue, TrainingPool& pool, std::size_t capacity) {
  for (;;) {
    const auto runs = queue.take(capacity - static_cast<std::size_t>(pool.size()));
    if (!runs.empty()) pool.admit(runs);
    if (pool.size() == 0) return;
    for (bool any_done = false; !any_done;) {
      if (queue.stopped()) return;
      std::int64_t work = 0;
      for (int step = 0; step < kStepsPerReport && !any_done; ++step) {
        any_done = pool.step();
        work += pool.weight_count();
      }
      queue.advance(work);
    }
    for (TrainingPool::Result& run : pool.take_finished()) queue.deliver(std::move(run));
  }
}

/// Trains all plans. Every thread has a pool of its own, inside which kernels run on that one thread: steps are too
/// short to share one out (with a barrier after every kernel, threads wait for the slowest several thousand times a
/// second). A device has one pool.
std::vector<std::vector<SubjectNetwork>> train(const PopulationConfig& config, const Dataset& dataset,
                                               const std::vector<TrainingPlan>& plans, const TrainOptions& options,
                                               Stream stream) {
  const bool on_device = stream.device().is_cuda();
  const TrainingRows rows(dataset.subject_train, dataset.inputs, stream);
  RunQueue queue(plans, options.progress);
  const auto workers =
      on_device ? std::size_t{1} : std::min(static_cast<std::size_t>(omp_get_max_threads()), plans.size());
  const int pool_size = options.pool > 0 ? options.pool : on_device ? kDeviceNetworks : kThreadNetworks;
  const std::size_t capacity = std::min(static_cast<std::size_t>(pool_size), (plans.size() + workers - 1) / workers);
  parallel_for(static_cast<std::int64_t>(workers), [&](std::int64_t) {
    try {
      TrainingPool pool(config, dataset, rows, stream);
      train_from(queue, pool, capacity);
    } catch (...) {
      queue.stop();
      throw;
    }
  });
  return queue.finish();
}

}  // namespace

Population train_population(const PopulationConfig& config, const Dataset& dataset, const TrainOptions& options) {
  check(options.pool >= 0, "train_population", "expected a pool of at least 1 network, or 0, got ", options.pool);
  const ThreadCount threads(options.threads);
  const StreamOwner stream(options.device);
  const auto start = std::chrono::steady_clock::now();
  const std::vector<TrainingPlan> plans = plan_population(config, dataset);
  std::vector<std::vector<SubjectNetwork>> runs = train(config, dataset, plans, options, stream);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;

  Population population;
  population.dataset_name = dataset.name;
  population.dataset_source = dataset.source;
  population.dataset_fingerprint = dataset.fingerprint;
  const auto work = static_cast<double>(total_work(plans));
  for (std::size_t run = 0; run < plans.size(); ++run) {
    const TrainingPlan& plan = plans[run];
    for (std::size_t n = 0; n < runs[run].size(); ++n) {
      validate(runs[run][n], config.file.string() + ": " + runs[run][n].name);
      nlohmann::json training = plan.describe(config, dataset);
      training["trained"] = n < config.snapshots.size() ? config.snapshots[n] : 1.0;
      training["work_share"] = static_cast<double>(plan.weight_count() * plan.steps) / work;
      population.networks.push_back(std::move(runs[run][n]));
      population.split.push_back(plan.split);
      population.attributes.push_back({{"training", std::move(training)}});
    }
  }

  std::vector<const SubjectNetwork*> networks;
  for (const SubjectNetwork& network : population.networks) networks.push_back(&network);
  const std::vector<double> accuracy =
      accuracies(networks, TrainingRows(dataset.validation, dataset.inputs, stream), stream);
  for (std::size_t n = 0; n < accuracy.size(); ++n)
    population.attributes[n]["training"]["validation_accuracy"] = accuracy[n];
  population.provenance = {
      {"config", config.text}, {"seed", config.seed}, {"runs", config.networks}, {"training_seconds", seconds.count()}};
  return population;
}

}  // namespace amend
