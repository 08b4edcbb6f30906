#include "metanet/train/progress.hpp"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>

namespace amend {
namespace {

constexpr int kBarWidth = 24;
constexpr int kDefaultColumns = 80;
constexpr std::chrono::milliseconds kRedraw{100};

int terminal_columns() {
  winsize size{};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : kDefaultColumns;
}

}  // namespace

bool stderr_is_terminal() { return isatty(STDERR_FILENO) == 1; }

std::string format_duration(double seconds) {
  const auto total = static_cast<std::int64_t>(std::max(seconds, 0.0) + 0.5);
  if (total < 60) return fmt::format("{} s", total);
  if (total < 3600) return fmt::format("{} min {:02} s", total / 60, total % 60);
  return fmt::format("{} h {:02} min", total / 3600, total / 60 % 60);
}

std::string progress_line(const std::string& label, std::int64_t done, std::int64_t total, double seconds, int width,
                          const std::string& note, std::int64_t before) {
  const double share = total > 0 ? std::clamp(static_cast<double>(done) / static_cast<double>(total), 0.0, 1.0) : 1.0;
  const auto filled = static_cast<std::size_t>(share * kBarWidth);
  std::string line =
      fmt::format("{} [{:-<{}}] {:3}%", label, std::string(filled, '#'), kBarWidth, static_cast<int>(share * 100.0));
  if (share >= 1.0)
    line += fmt::format("  {}", format_duration(seconds));
  else if (done > before)
    line += fmt::format(
        "  {} left", format_duration(seconds / static_cast<double>(done - before) * static_cast<double>(total - done)));
  if (!note.empty()) line += "  " + note;
  if (line.size() > static_cast<std::size_t>(std::max(width, 0)))
    line.resize(static_cast<std::size_t>(std::max(width, 0)));
  return line;
}

Progress::Progress(std::string label, std::int64_t total, bool enabled, std::int64_t before)
    : label_(std::move(label)),
      total_(total),
      before_(before),
      next_tenth_(total > 0 ? static_cast<int>(before * 10 / total) + 1 : 1),
      enabled_(enabled),
      terminal_(stderr_is_terminal()),
      start_(Clock::now()) {}

Progress::~Progress() {
  if (open_) std::fputc('\n', stderr);
}

void Progress::draw(const std::string& note) {
  drawn_ = Clock::now();
  const double seconds = std::chrono::duration<double>(drawn_ - start_).count();
  if (terminal_) {
    // One column stays free: a full line would wrap on some terminals. \033[K clears what a longer line left behind.
    const std::string line = progress_line(label_, done_, total_, seconds, terminal_columns() - 1, note, before_);
    std::fprintf(stderr, "\r%s\033[K", line.c_str());
    open_ = true;
  } else {
    const std::string line = progress_line(label_, done_, total_, seconds, 160, note, before_);
    std::fprintf(stderr, "%s\n", line.c_str());
  }
  std::fflush(stderr);
}

void Progress::update(std::int64_t done, const std::string& note) {
  done_ = done;
  if (!enabled_) return;
  if (terminal_) {
    if (!open_ || Clock::now() - drawn_ >= kRedraw) draw(note);
  } else if (done_ * 10 >= total_ * next_tenth_) {
    next_tenth_ = total_ > 0 ? static_cast<int>(done_ * 10 / total_) + 1 : 11;
    draw(note);
  }
}

void Progress::finish() {
  if (!enabled_) return;
  done_ = total_;
  if (terminal_ || next_tenth_ <= 10) draw({});
  if (open_) std::fputc('\n', stderr);
  open_ = enabled_ = false;
}

}  // namespace amend
