#pragma once

#include <iosfwd>

namespace amend {

/// What `amend` returns to the shell; `amend --help` documents it.
enum ExitCode : int { kSuccess = 0, kFailure = 1, kUserError = 2, kLimitNotMet = 3, kInterrupted = 130 };

/// Runs one command line. Data go to `out`, messages to `err`; every failure is one message that begins with `amend:`.
/// Throws nothing. Progress bars and colours appear only when the streams are std::cout and std::cerr on a terminal.
int run(int argc, const char* const* argv, std::ostream& out, std::ostream& err);

}  // namespace amend
