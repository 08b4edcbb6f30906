#pragma once

#include <csignal>

namespace amend {

/// While it lives, SIGINT (Ctrl-C) is noted instead of ending the process, so that a long run can put away what it has;
/// a second SIGINT ends the process at once. One at a time.
class InterruptScope {
 public:
  InterruptScope();
  ~InterruptScope();
  InterruptScope(const InterruptScope&) = delete;
  InterruptScope& operator=(const InterruptScope&) = delete;

 private:
  struct sigaction before_ {};
};

/// Whether SIGINT came in the InterruptScope that lives, false outside of one.
bool interrupted();

}  // namespace amend
