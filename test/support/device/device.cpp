#include "test/support/device/device.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "engine/cuda/runtime.hpp"
#include "engine/error.hpp"
#include "engine/graph_cache.hpp"
#include "test/support/cuda_emulation/device.hpp"
#include "test/support/host_address.hpp"

namespace amend::test::device {

namespace {

using Work = std::function<void()>;

constexpr std::size_t kRegionBytes = std::size_t{1} << 32;
constexpr std::size_t kPage = 4096;

Counters counted;

/// The memory of the device. Fresh pages are zero, and freed ones become fresh.
class Memory {
 public:
  Memory() {
    void* region = mmap(nullptr, kRegionBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    check(region != MAP_FAILED, "emulated device", "no address space");
    begin_ = static_cast<char*>(region);
  }

  void* allocate(std::size_t bytes) {
    const std::size_t size = std::max((bytes + kPage - 1) / kPage * kPage, kPage);
    if (used_ + size > capacity_) return nullptr;
    std::size_t at = 0;  // first fit
    for (const auto& [offset, taken] : blocks_) {
      if (offset - at >= size) break;
      at = offset + taken;
    }
    if (at + size > kRegionBytes) return nullptr;
    blocks_[at] = size;
    used_ += size;
    high_ = std::max(high_, at + size);
    return begin_ + at;
  }

  void release(void* memory) {
    const auto found = blocks_.find(static_cast<std::size_t>(static_cast<char*>(memory) - begin_));
    check(found != blocks_.end(), "emulated device", "freed memory that is not the device's");
    madvise(memory, found->second, MADV_DONTNEED);
    used_ -= found->second;
    blocks_.erase(found);
  }

  bool holds(const void* memory) const {
    return memory >= begin_ && static_cast<const char*>(memory) < begin_ + kRegionBytes;
  }
  void open() { protect(depth_++ == 0, PROT_READ | PROT_WRITE); }
  void close() { protect(--depth_ == 0, PROT_NONE); }
  void set_capacity(std::size_t bytes) { capacity_ = bytes; }
  std::size_t used() const { return used_; }
  std::size_t capacity() const { return capacity_; }

 private:
  void protect(bool change, int access) {
    if (change && high_ > 0) check(mprotect(begin_, high_, access) == 0, "emulated device", "mprotect failed");
  }

  char* begin_ = nullptr;
  std::size_t high_ = 0, used_ = 0, capacity_ = kRegionBytes;
  int depth_ = 0;
  std::map<std::size_t, std::size_t> blocks_;  // offset -> bytes
};

Memory& memory() {
  static Memory instance;
  return instance;
}

/// The device's memory can be touched while one of these lives.
struct Window {
  Window() { memory().open(); }
  ~Window() { memory().close(); }
};

struct Graph {
  std::vector<Work> work;
};

/// The work of a stream: `done` of `queued` pieces.
struct Queue {
  std::deque<Work> waiting;
  std::uint64_t queued = 0, done = 0;
  std::unique_ptr<Graph> capture;

  void add(Work work) {
    if (capture) {
      capture->work.push_back(std::move(work));
      return;
    }
    waiting.push_back(std::move(work));
    ++queued;
  }
  void run_until(std::uint64_t count) {
    while (done < count && !waiting.empty()) {
      const Work work = std::move(waiting.front());
      waiting.pop_front();
      ++done;
      work();
    }
  }
  void run_all() { run_until(queued); }
};

struct Event {
  std::shared_ptr<Queue> queue;
  std::uint64_t position = 0;
};

std::map<void*, std::shared_ptr<Queue>>& queues() {
  static std::map<void*, std::shared_ptr<Queue>> instance;
  return instance;
}
std::map<char*, std::size_t>& pinned() {
  static std::map<char*, std::size_t> instance;
  return instance;
}

const std::shared_ptr<Queue>& queue_of(Stream stream) {
  check(stream.device() == Device::cuda(), "emulated device", "expected a stream of cuda:0, got one of ",
        to_string(stream.device()));
  const auto found = queues().find(stream.handle());
  check(found != queues().end(), "emulated device", "expected a stream that somebody owns");
  return found->second;
}

/// What a device refuses to do while a stream is captured.
void refuse_capture(const char* what) {
  for (const auto& [handle, queue] : queues())
    check(!queue->capture, "emulated device", what, " while a graph is captured");
}

bool is_pinned(const void* from) {
  const auto after = pinned().upper_bound(static_cast<char*>(const_cast<void*>(from)));
  if (after == pinned().begin()) return false;
  const auto& [begin, bytes] = *std::prev(after);
  return static_cast<const char*>(from) < begin + bytes;
}

void expect_device(int index) { check(index == 0, "emulated device", "there is one device, got cuda:", index); }

}  // namespace

bool has_counters() { return true; }
Counters counters() { return counted; }

WithoutGraphs::WithoutGraphs() { GraphCache::use_graphs(false); }
WithoutGraphs::~WithoutGraphs() { GraphCache::use_graphs(true); }

bool readable(const void* address) {
  int ends[2];
  check(pipe(ends) == 0, "emulated device", "no pipe");
  const bool can = write(ends[1], address, 1) == 1;  // the kernel refuses where the host would fault
  close(ends[0]);
  close(ends[1]);
  return can;
}

void set_capacity(std::size_t bytes) { memory().set_capacity(bytes); }
std::size_t used_bytes() { return memory().used(); }

void check_arguments(const char* name, const void* args, std::size_t bytes) {
  for (std::size_t at = 0; at + sizeof(std::uint64_t) <= bytes; at += sizeof(std::uint64_t)) {
    std::uint64_t word = 0;
    std::memcpy(&word, static_cast<const char*>(args) + at, sizeof word);
    if (memory().holds(reinterpret_cast<void*>(word)) || !is_host_address(word)) continue;
    fail("emulated device", "`", name, "` was given host memory, at byte ", at, " of its arguments");
  }
}

void queue_pass(Twin twin, Work pass, Stream stream) {
  Queue& queue = *queue_of(stream);
  if (!queue.capture) ++counted.queued;
  queue.add([twin, pass = std::move(pass)] {
    ++counted.kernels;
    if (twin == Twin::emulated) {
      pass();  // the memory opens for its launches only, not for the host code between them
      return;
    }
    const Window window;
    pass();
  });
}

}  // namespace amend::test::device

namespace amend::cuda {

using namespace test::device;

std::string unavailable_reason(int index) { return index == 0 ? "" : "there is one device, cuda:0"; }

void make_current(int index) {
  expect_device(index);
  test::emulation::set_launch_hooks({[] { memory().open(); }, [] { memory().close(); }});
}

MemoryInfo memory_info(int index) {
  expect_device(index);
  return {memory().capacity() - memory().used(), memory().capacity()};
}

void* allocate(std::size_t bytes, int index) {
  expect_device(index);
  refuse_capture("memory was allocated");
  ++counted.allocations;
  return memory().allocate(bytes);
}

void release(void* data, int) noexcept {
  ++counted.synchronisations;
  try {
    for (const auto& [handle, queue] : queues()) queue->run_all();
  } catch (const Error&) {
    // An error of queued work belongs to whoever waits for it.
  }
  memory().release(data);
}

void* allocate_pinned(std::size_t bytes, int index) {
  expect_device(index);
  refuse_capture("pinned memory was allocated");
  ++counted.allocations;
  char* data = static_cast<char*>(::operator new (bytes, std::align_val_t{64}));
  std::memset(data, 0xff, bytes);
  pinned()[data] = bytes;
  return data;
}

void release_pinned(void* data, int) noexcept {
  pinned().erase(static_cast<char*>(data));
  ::operator delete (data, std::align_val_t{64});
}

void* create_stream(int index) {
  make_current(index);
  auto queue = std::make_shared<Queue>();
  void* const handle = queue.get();
  queues()[handle] = std::move(queue);
  return handle;
}

void destroy_stream(Stream stream) noexcept {
  try {
    queue_of(stream)->run_all();
  } catch (const Error&) {
    // As in release.
  }
  queues().erase(stream.handle());
}

void synchronise(Stream stream) {
  refuse_capture("the host waited");
  ++counted.synchronisations;
  queue_of(stream)->run_all();
}

void copy(void* to, const void* from, std::size_t bytes, Copy kind, Stream stream) {
  const bool from_device = memory().holds(from), to_device = memory().holds(to);
  check(from_device == (kind != Copy::to_device) && to_device == (kind != Copy::to_host), "emulated device",
        "a copy in the wrong direction");
  Queue& queue = *queue_of(stream);
  if (kind == Copy::to_host) refuse_capture("results were copied to the host");
  ++(kind == Copy::to_device ? counted.copies_to_device
     : kind == Copy::to_host ? counted.copies_to_host
                             : counted.copies_on_device);
  if (kind == Copy::to_device && !is_pinned(from)) {
    refuse_capture("memory that is not pinned was copied");
    const char* source = static_cast<const char*>(from);
    queue.add([to, bytes = std::vector<char>(source, source + bytes)] {
      const Window window;
      std::memcpy(to, bytes.data(), bytes.size());
    });
    return;
  }
  queue.add([to, from, bytes] {
    const Window window;
    std::memcpy(to, from, bytes);
  });
}

void zero(void* data, std::size_t bytes, Stream stream) {
  queue_of(stream)->add([data, bytes] {
    const Window window;
    std::memset(data, 0, bytes);
  });
}

void* create_event(int index) {
  expect_device(index);
  return new Event;
}
void destroy_event(void* event) noexcept { delete static_cast<Event*>(event); }
void record(void* event, Stream stream) {
  const std::shared_ptr<Queue>& queue = queue_of(stream);
  refuse_capture("an event was recorded");
  *static_cast<Event*>(event) = {queue, queue->queued};
}
void wait(void* event) {
  const Event& point = *static_cast<Event*>(event);
  if (!point.queue || point.queue->done >= point.position) return;
  refuse_capture("the host waited");
  ++counted.waits;
  point.queue->run_until(point.position);
}

std::size_t scratch_generation(Stream) { return 0; }
void begin_capture(Stream stream) { queue_of(stream)->capture = std::make_unique<Graph>(); }
void* end_capture(Stream stream, int* kernels) {
  Graph* const graph = queue_of(stream)->capture.release();
  if (kernels != nullptr) *kernels = static_cast<int>(graph->work.size());
  return graph;
}
void launch_graph(void* graph, Stream stream) {
  ++counted.graphs;
  for (const Work& work : static_cast<Graph*>(graph)->work) queue_of(stream)->add(work);
}
void destroy_graph(void* graph) noexcept { delete static_cast<Graph*>(graph); }

}  // namespace amend::cuda
