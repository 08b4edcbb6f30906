#pragma once

#include <functional>
#include <iosfwd>
#include <nlohmann/json.hpp>
#include <string>

namespace amend {

/// What the commands of one command line share.
struct Session {
  std::ostream& out;            // data
  std::ostream& err;            // messages
  bool progress = false;        // bars on stderr: it is a terminal
  bool color = false;           // stdout is a terminal that takes colours
  int width = 100;              // columns of stdout
  std::function<int()> action;  // the command that was chosen; set while the line is read, called afterwards

  /// A message to the user: one line on `err`.
  void say(const std::string& message) const;
  /// Data for machines: the only thing on `out`.
  void print(const nlohmann::ordered_json& json) const;
};

}  // namespace amend
