#pragma once

#include <sstream>
#include <string>
#include <vector>

#include "app/command_line.hpp"

namespace amend::test {

/// One run of the program: its exit code and what it wrote.
struct CommandRun {
  int code;
  std::string out, err;
};

inline CommandRun amend_command(const std::vector<std::string>& arguments) {
  std::vector<const char*> argv{"amend"};
  for (const std::string& text : arguments) argv.push_back(text.c_str());
  std::ostringstream out, err;
  const int code = run(static_cast<int>(argv.size()), argv.data(), out, err);
  return {code, out.str(), err.str()};
}

}  // namespace amend::test
