#pragma once

#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>

namespace amend {

/// Base of everything the project throws. The message begins with the operation: `[linear] expected ...`.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The user's input is at fault: a file, a configuration key, a command-line value. The message names the file and the
/// key and says what was expected. The command line turns it into exit code 2.
class InputError : public Error {
 public:
  using Error::Error;
};

namespace detail {
/// Writes a part of a message; of what cannot be written to a stream (shapes, element types, devices) `to_string`.
template <class Part>
void put(std::ostream& out, const Part& part) {
  if constexpr (requires { out << part; })
    out << part;
  else
    out << to_string(part);
}

template <class... Parts>
std::string join(const Parts&... parts) {
  std::ostringstream out;
  (put(out, parts), ...);
  return out.str();
}
}  // namespace detail

/// Throws Error with `[operation] part part ...`.
template <class... Parts>
[[noreturn]] void fail(std::string_view operation, const Parts&... parts) {
  throw Error(detail::join('[', operation, "] ", parts...));
}

/// Throws Error unless `ok` holds. The text is built only then: hand over what it is made of (a shape), not strings.
template <class... Parts>
void check(bool ok, std::string_view operation, const Parts&... parts) {
  if (!ok) fail(operation, parts...);
}

/// Throws InputError with `where: part part ...`; `where` is a file, or `file: key`.
template <class... Parts>
[[noreturn]] void fail_input(std::string_view where, const Parts&... parts) {
  throw InputError(detail::join(where, ": ", parts...));
}

}  // namespace amend
