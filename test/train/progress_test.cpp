#include "metanet/train/progress.hpp"

#include <catch2/catch.hpp>

using namespace amend;

TEST_CASE("durations read as people write them", "[progress]") {
  CHECK(format_duration(0.4) == "0 s");
  CHECK(format_duration(59.4) == "59 s");
  CHECK(format_duration(59.6) == "1 min 00 s");
  CHECK(format_duration(125) == "2 min 05 s");
  CHECK(format_duration(3 * 3600 + 7 * 60 + 50) == "3 h 07 min");
}

TEST_CASE("a progress line tells share and time left", "[progress]") {
  CHECK(progress_line("train", 0, 100, 1.0, 80) == "train [" + std::string(24, '-') + "]   0%");
  CHECK(progress_line("train", 25, 100, 10.0, 80, "loss 1") ==
        "train [######" + std::string(18, '-') + "]  25%  30 s left  loss 1");
  CHECK(progress_line("train", 100, 100, 65.0, 80) == "train [" + std::string(24, '#') + "] 100%  1 min 05 s");
  CHECK(progress_line("train", 25, 100, 10.0, 20, "loss 1").size() == 20);
  // Of a run that was resumed after 50 units only its own 25 tell how fast it is.
  CHECK(progress_line("train", 75, 100, 10.0, 80, "", 50) == "train [##################------]  75%  10 s left");
  CHECK(progress_line("train", 50, 100, 1.0, 80, "", 50) == "train [############------------]  50%");
  CHECK(progress_line("train", 0, 0, 0.0, 80) == "train [" + std::string(24, '#') + "] 100%  0 s");
}
