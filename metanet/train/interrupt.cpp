#include "metanet/train/interrupt.hpp"

namespace amend {
namespace {

// A handler may do no more than this.
volatile std::sig_atomic_t noted = 0;

}  // namespace

InterruptScope::InterruptScope() {
  noted = 0;
  struct sigaction action {};
  action.sa_handler = [](int) { noted = 1; };
  // SA_RESTART: reads and writes under way go on.
  action.sa_flags = SA_RESTART | static_cast<int>(SA_RESETHAND);
  ::sigaction(SIGINT, &action, &before_);
}

InterruptScope::~InterruptScope() {
  ::sigaction(SIGINT, &before_, nullptr);
  noted = 0;
}

bool interrupted() { return noted != 0; }

}  // namespace amend
