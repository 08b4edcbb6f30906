#include <ucontext.h>

#include <algorithm>
#include <exception>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/error.hpp"
#include "test/support/cuda_emulation/device.hpp"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

namespace amend::test::emulation {

namespace {

constexpr unsigned kWarp = 32;
constexpr std::size_t kStackBytes = 128 << 10;
constexpr std::size_t kStaticShared = 48 << 10;  // what every device offers without asking
constexpr unsigned kMaxThreads = 1024;
constexpr unsigned kMaxCluster = 8;  // blocks, on every device that has clusters

/// Bytes of its own on the heap; all ones are NaN in float32 and float64 and -1 in integers.
class Poisoned {
 public:
  explicit Poisoned(std::size_t bytes) : memory_(new (std::align_val_t{64}) char[bytes]), bytes_(bytes) { poison(); }
  void poison() { std::memset(memory_.get(), 0xff, bytes_); }
  void* data() const { return memory_.get(); }
  std::size_t bytes() const { return bytes_; }

 private:
  struct Free {
    void operator()(char* memory) const { ::operator delete[](memory, std::align_val_t{64}); }
  };
  std::unique_ptr<char, Free> memory_;
  std::size_t bytes_;
};

enum class State { fresh, ready, at_block_barrier, at_warp_barrier, at_cluster_barrier, finished };

/// A stack that threads run on: the next one begins where one has returned, so that a kernel without barriers needs
/// one.
struct Fiber {
  ucontext_t context;
  std::unique_ptr<char[]> stack{new char[kStackBytes]};
  void* fake_stack = nullptr;  // AddressSanitizer's
};

struct Thread {
  State state = State::fresh;
  Where where;
  unsigned parity = 0;
  bool arrived = false;                // at a barrier of the cluster, and yet to wait there
  std::uint64_t cluster_barriers = 0;  // complete ones when it arrived
  Fiber* fiber = nullptr;
};

struct Warp {
  unsigned waiting = 0;
  std::uint64_t word[2][kWarp];  // two, so that the next operation does not overwrite what a slow lane has yet to read
};

/// A block of the cluster that runs.
struct BlockMemory {
  unsigned waiting = 0;  // threads at the block's barrier
  std::vector<std::pair<const void*, Poisoned>> shared;
  std::unique_ptr<Poisoned> dynamic;
};

std::uint64_t schedule_seed = 1;
std::size_t told_shared_bytes = 48 << 10;
unsigned largest_cluster = 1;
LaunchHooks launch_hooks;

/// Calls the hooks at the beginning and the end of a launch.
struct HookedLaunch {
  HookedLaunch() {
    if (launch_hooks.before) launch_hooks.before();
  }
  ~HookedLaunch() {
    if (launch_hooks.after) launch_hooks.after();
  }
};

/// Everything of the launch that runs; fibers and their stacks stay for the next one.
struct Launch {
  const std::function<void()>* thread = nullptr;
  std::vector<std::unique_ptr<Fiber>> fibers;
  std::vector<Fiber*> idle;
  std::vector<Thread> threads;
  std::vector<Warp> warps;
  std::vector<BlockMemory> blocks;
  std::vector<unsigned> ready;
  unsigned current = 0, finished = 0;  // threads are numbered through the cluster
  unsigned arrived = 0;                // at the barrier of the cluster
  std::uint64_t cluster_barriers = 0;  // complete ones
  dim3 first_block;
  std::size_t shared_bytes = 0;  // of a block, beside what the kernel declares
  bool chosen = false;           // `current` is whose turn it is
  std::uint64_t random = 1;
  ucontext_t scheduler;
  const void* scheduler_stack = nullptr;
  std::size_t scheduler_stack_bytes = 0;
  std::exception_ptr error;

  BlockMemory& own_block() { return blocks[current / blockDim.x]; }
  std::uint64_t draw(std::uint64_t bound) {
    random ^= random << 13, random ^= random >> 7, random ^= random << 17;
    return (random >> 11) % bound;
  }
};

Launch launched;
std::unique_ptr<Poisoned> scratch;

std::string text_of(const Where& where) {
  const std::string file = where.file_name();
  return file.substr(file.find_last_of('/') + 1) + ":" + std::to_string(where.line());
}

void enter([[maybe_unused]] Fiber& fiber) {
#ifdef __SANITIZE_ADDRESS__
  void* own = nullptr;
  __sanitizer_start_switch_fiber(&own, fiber.stack.get(), kStackBytes);
#endif
  swapcontext(&launched.scheduler, &fiber.context);
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_finish_switch_fiber(own, nullptr, nullptr);
#endif
}

void leave(Fiber& fiber, [[maybe_unused]] bool for_good) {
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_start_switch_fiber(for_good ? nullptr : &fiber.fake_stack, launched.scheduler_stack,
                                 launched.scheduler_stack_bytes);
#endif
  swapcontext(&fiber.context, &launched.scheduler);
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_finish_switch_fiber(fiber.fake_stack, nullptr, nullptr);
#endif
}

/// Makes the thread current whose turn it is.
void choose() {
  const std::size_t count = launched.ready.size();
  std::size_t choices = count;
  if (schedule_seed % 2) {  // only the warp that was released last: it runs ahead of the others as far as it can
    choices = 1;
    while (choices < count && launched.ready[count - 1 - choices] / kWarp == launched.ready.back() / kWarp) ++choices;
  }
  std::swap(launched.ready[count - 1 - launched.draw(choices)], launched.ready.back());
  launched.current = launched.ready.back();
  launched.ready.pop_back();
  threadIdx = dim3(launched.current % blockDim.x, 0, 0);
  blockIdx.x = launched.first_block.x + launched.current / blockDim.x;
}

void fiber_main() {
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_finish_switch_fiber(nullptr, &launched.scheduler_stack, &launched.scheduler_stack_bytes);
#endif
  Fiber& fiber = *launched.threads[launched.current].fiber;
  for (;;) {
    try {
      (*launched.thread)();
    } catch (...) {
      launched.error = std::current_exception();
    }
    launched.threads[launched.current].state = State::finished;
    ++launched.finished;
    launched.chosen = !launched.error && !launched.ready.empty();
    if (launched.chosen) choose();
    if (!launched.chosen || launched.threads[launched.current].state != State::fresh) break;
    launched.chosen = false;
    launched.threads[launched.current].fiber = &fiber;
  }
  launched.idle.push_back(&fiber);
  leave(fiber, true);
}

void start(Fiber& fiber) {
  fiber.fake_stack = nullptr;
  getcontext(&fiber.context);
  fiber.context.uc_stack.ss_sp = fiber.stack.get();
  fiber.context.uc_stack.ss_size = kStackBytes;
  fiber.context.uc_link = nullptr;
  makecontext(&fiber.context, fiber_main, 0);
}

/// Lets the threads [first, last) that wait go on, who must all have come to the same line.
void release(unsigned first, unsigned last) {
  for (unsigned t = first; t < last; ++t) {
    Thread& thread = launched.threads[t];
    if (thread.where.line() != launched.threads[first].where.line())
      fail("emulation", "a divergent barrier: thread ", first % blockDim.x, " of block ", blockIdx.x, " waits at ",
           text_of(launched.threads[first].where), ", thread ", t % blockDim.x, " at ", text_of(thread.where));
    thread.state = State::ready;
    launched.ready.push_back(t);
  }
}

[[noreturn]] void report_deadlock() {
  std::string waiting, others;
  unsigned block = 0;
  for (unsigned t = 0; t < launched.threads.size(); ++t) {
    const Thread& thread = launched.threads[t];
    const std::string name = "thread " + std::to_string(t % blockDim.x);
    if (thread.state == State::finished) {
      others = name + " has returned";
    } else {
      block = launched.first_block.x + t / blockDim.x;
      waiting = name + " waits at " +
                (thread.state == State::at_warp_barrier      ? "the warp operation of "
                 : thread.state == State::at_cluster_barrier ? "the cluster's barrier of "
                                                             : "the barrier of ") +
                text_of(thread.where);
    }
  }
  if (others.empty()) others = "others wait elsewhere";
  fail("emulation", "a barrier that not all threads reach: in block ", block, " ", waiting, ", ", others);
}

/// From blockIdx on, the blocks of a cluster.
void run_cluster() {
  const unsigned threads = blockDim.x * static_cast<unsigned>(launched.blocks.size());
  launched.first_block = blockIdx;
  launched.warps.assign(threads / kWarp, {});
  launched.ready.clear();
  launched.finished = launched.arrived = 0;
  launched.cluster_barriers = 0;
  for (BlockMemory& block : launched.blocks) {
    block.waiting = 0;
    for (auto& [key, memory] : block.shared) memory.poison();
    if (block.dynamic) block.dynamic->poison();
  }
  launched.threads.assign(threads, {});
  launched.idle.clear();
  for (unsigned t = 0; t < threads; ++t) {
    launched.idle.push_back(launched.fibers[t].get());
    launched.ready.push_back(t);
  }
  launched.chosen = false;
  while (launched.chosen || !launched.ready.empty()) {
    if (!launched.chosen) choose();
    launched.chosen = false;
    Thread& first = launched.threads[launched.current];
    if (first.state == State::fresh) {
      first.fiber = launched.idle.back();
      launched.idle.pop_back();
      start(*first.fiber);
    }
    enter(*first.fiber);
    if (launched.error) std::rethrow_exception(std::exchange(launched.error, nullptr));
    if (launched.chosen) continue;
    const unsigned t = launched.current, warp = t / kWarp, block = t / blockDim.x;
    const State state = launched.threads[t].state;
    if (state == State::at_warp_barrier && ++launched.warps[warp].waiting == kWarp) {
      launched.warps[warp].waiting = 0;
      release(warp * kWarp, (warp + 1) * kWarp);
    } else if (state == State::at_block_barrier && ++launched.blocks[block].waiting == blockDim.x) {
      launched.blocks[block].waiting = 0;
      release(block * blockDim.x, (block + 1) * blockDim.x);
    }
  }
  if (launched.finished != threads) report_deadlock();
}

/// `declared`: bytes that the kernel declares itself.
void check_shared(std::size_t declared) {
  const std::size_t bytes = launched.shared_bytes + declared;
  check(bytes <= std::max(told_shared_bytes, SharedBytes::kLeast), "emulation", bytes,
        " bytes of shared memory are too many");
}

void stop(State state, const Where& where) {
  Thread& thread = launched.threads[launched.current];
  thread.state = state;
  thread.where = where;
  leave(*thread.fiber, false);
}

}  // namespace

ScheduleSeed::ScheduleSeed(std::uint64_t seed) : before_(std::exchange(schedule_seed, seed)) {}
ScheduleSeed::~ScheduleSeed() { schedule_seed = before_; }

SharedBytes::SharedBytes(std::size_t bytes) : before_(std::exchange(told_shared_bytes, bytes)) {}
SharedBytes::~SharedBytes() { told_shared_bytes = before_; }
std::size_t max_shared_bytes() { return told_shared_bytes; }
unsigned take_largest_cluster() { return std::exchange(largest_cluster, 1u); }

void set_launch_hooks(LaunchHooks hooks) { launch_hooks = hooks; }

void run(dim3 grid, dim3 block, std::size_t shared_bytes, const std::function<void()>& thread, unsigned cluster) {
  check(block.y == 1 && block.z == 1 && grid.y <= 65535 && grid.z <= 65535, "emulation",
        "expected a one-dimensional block and a grid of at most 65535 in y and z");
  check(block.x % kWarp == 0 && block.x > 0 && block.x <= kMaxThreads, "emulation", "expected whole warps and at most ",
        kMaxThreads, " threads in a block, got ", block.x);
  launched.shared_bytes = shared_bytes;
  check_shared(0);
  check(cluster > 0 && cluster <= kMaxCluster && grid.x % cluster == 0, "emulation", "expected clusters of at most ",
        kMaxCluster, " blocks, and whole ones, got ", grid.x, " blocks in clusters of ", cluster);
  largest_cluster = std::max(largest_cluster, cluster);
  const HookedLaunch hooked;
  const std::uint64_t blocks = std::uint64_t{grid.x} * grid.y * grid.z;
  launched.thread = &thread;
  launched.random = schedule_seed * 0x9E3779B97F4A7C15u + 1;
  launched.blocks.clear();
  launched.blocks.resize(cluster);
  if (shared_bytes)
    for (BlockMemory& own : launched.blocks) own.dynamic = std::make_unique<Poisoned>(shared_bytes);
  while (launched.fibers.size() < block.x * cluster) launched.fibers.push_back(std::make_unique<Fiber>());
  blockDim = block;
  gridDim = grid;
  std::vector<std::uint64_t> order(blocks / cluster);
  for (std::uint64_t b = 0; b < order.size(); ++b) {
    order[b] = b * cluster;
    std::swap(order[b], order[launched.draw(b + 1)]);
  }
  for (const std::uint64_t b : order) {
    blockIdx = dim3(static_cast<unsigned>(b % grid.x), static_cast<unsigned>(b / grid.x % grid.y),
                    static_cast<unsigned>(b / grid.x / grid.y));
    run_cluster();
  }
}

void block_barrier(const Where& where) { stop(State::at_block_barrier, where); }

void cluster_arrive(const Where& where) {
  Thread& thread = launched.threads[launched.current];
  if (thread.arrived) fail("emulation", "a thread arrives again without having waited at ", text_of(where));
  thread.arrived = true;
  thread.cluster_barriers = launched.cluster_barriers;
  if (++launched.arrived < launched.threads.size()) return;
  launched.arrived = 0;
  ++launched.cluster_barriers;
  for (unsigned t = 0; t < launched.threads.size(); ++t)
    if (launched.threads[t].state == State::at_cluster_barrier) release(t, t + 1);
}

void cluster_wait(const Where& where) {
  Thread& thread = launched.threads[launched.current];
  if (!thread.arrived) fail("emulation", "a thread waits without having arrived at ", text_of(where));
  thread.arrived = false;
  if (thread.cluster_barriers == launched.cluster_barriers) stop(State::at_cluster_barrier, where);
}

unsigned cluster_size() { return static_cast<unsigned>(launched.blocks.size()); }

const std::uint64_t* warp_exchange(unsigned mask, std::uint64_t value, const Where& where) {
  if (mask != ~0u) fail("emulation", "expected all lanes in the mask at ", text_of(where));
  Thread& thread = launched.threads[launched.current];
  std::uint64_t* words = launched.warps[launched.current / kWarp].word[thread.parity];
  thread.parity ^= 1;
  words[launched.current % kWarp] = value;
  stop(State::at_warp_barrier, where);
  return words;
}

void* shared_object(const void* key, std::size_t bytes) {
  std::size_t used = bytes;
  auto& shared = launched.own_block().shared;
  for (const auto& [name, memory] : shared) {
    if (name == key) return memory.data();
    used += memory.bytes();
  }
  check(used <= kStaticShared, "emulation", used, " bytes of static shared memory are too many");
  check_shared(used);
  shared.emplace_back(key, Poisoned(bytes));
  return shared.back().second.data();
}

void* dynamic_shared() {
  const auto& dynamic = launched.own_block().dynamic;
  return dynamic ? dynamic->data() : nullptr;
}

void* workspace(std::size_t bytes) {
  scratch = std::make_unique<Poisoned>(bytes);
  return scratch->data();
}

}  // namespace amend::test::emulation
