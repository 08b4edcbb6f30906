#pragma once

#include "engine/error.hpp"

namespace amend {

/// A training whose numbers are not finite any more: its configuration asks for too much, usually by the learning rate.
/// The program works as it should, but no file or key is wrong by itself either. The message names step and term.
class TrainingError : public Error {
 public:
  using Error::Error;
};

/// Throws TrainingError with `[operation] part part ...`.
template <class... Parts>
[[noreturn]] void fail_training(std::string_view operation, const Parts&... parts) {
  throw TrainingError(detail::join('[', operation, "] ", parts...));
}

}  // namespace amend
