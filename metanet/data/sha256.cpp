#include "metanet/data/sha256.hpp"

#include <openssl/evp.h>

#include "engine/error.hpp"

namespace amend {

struct Sha256::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();

  State() { check(context && EVP_DigestInit_ex(context, EVP_sha256(), nullptr) == 1, "sha256", "not available"); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() { EVP_MD_CTX_free(context); }
};

Sha256::Sha256() : state_(std::make_unique<State>()) {}
Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

Sha256& Sha256::update(std::string_view bytes) {
  check(state_ != nullptr, "sha256", "update after hex");
  check(EVP_DigestUpdate(state_->context, bytes.data(), bytes.size()) == 1, "sha256", "update failed");
  return *this;
}

std::string Sha256::hex() {
  check(state_ != nullptr, "sha256", "hex called twice");
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  check(EVP_DigestFinal_ex(state_->context, digest, &size) == 1, "sha256", "finish failed");
  state_.reset();
  std::string text;
  for (unsigned int i = 0; i < size; ++i) {
    text += "0123456789abcdef"[digest[i] >> 4];
    text += "0123456789abcdef"[digest[i] & 15];
  }
  return text;
}

std::string sha256_hex(std::string_view bytes) { return Sha256().update(bytes).hex(); }

}  // namespace amend
