#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace amend {

/// Whether stderr is a terminal that can redraw a line.
bool stderr_is_terminal();

/// `45 s`, `2 min 05 s`, `1 h 02 min`.
std::string format_duration(double seconds);

/// One line of at most `width` columns: label, bar, per cent, time left, note. `seconds` is what the units after the
/// first `before` took: those were done when the run began.
std::string progress_line(const std::string& label, std::int64_t done, std::int64_t total, double seconds, int width,
                          const std::string& note = {}, std::int64_t before = 0);

/// How far a long run is, on stderr: a bar with the time left that is redrawn in place on a terminal, else one line per
/// 10 %. Silent when not `enabled`. One thread at a time.
class Progress {
 public:
  /// `before`: units that an earlier run did; they do not count for the time left.
  Progress(std::string label, std::int64_t total, bool enabled = stderr_is_terminal(), std::int64_t before = 0);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// `done` of `total` units are done. Cheap: draws at most ten times a second.
  void update(std::int64_t done, const std::string& note = {});
  /// Ends the line. Without it (an exception) the destructor leaves the bar where it stood.
  void finish();

 private:
  using Clock = std::chrono::steady_clock;

  void draw(const std::string& note);

  std::string label_;
  std::int64_t total_, before_, done_ = 0;
  int next_tenth_;
  bool enabled_, terminal_, open_ = false;
  Clock::time_point start_, drawn_;
};

}  // namespace amend
