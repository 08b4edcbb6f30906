#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace amend {

/// SHA-256 of bytes that arrive in pieces.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;

  Sha256& update(std::string_view bytes);
  /// 64 lower-case hexadecimal digits. Ends the computation: no update may follow.
  std::string hex();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// SHA-256 of `bytes`, 64 lower-case hexadecimal digits.
std::string sha256_hex(std::string_view bytes);

}  // namespace amend
