#include "base/digest.h"

#include <openssl/evp.h>

namespace skarv {

namespace {
EVP_MD_CTX* context_of(void* context) { return static_cast<EVP_MD_CTX*>(context); }
}  // namespace

std::string Digest::hex() const {
  static const char kLetters[] = "0123456789abcdef";
  std::string text;
  text.reserve(64);
  for (uint8_t byte : bytes) {
    text += kLetters[byte >> 4];
    text += kLetters[byte & 15];
  }
  return text;
}

std::string Digest::short_hex() const { return hex().substr(0, 12); }

Result<Digest> Digest::parse(std::string_view hex) {
  auto nibble = [](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return -1;
  };
  Digest digest;
  if (hex.size() != 64) return config_error("a digest has 64 hexadecimal digits");
  for (size_t i = 0; i < 32; ++i) {
    const int high = nibble(hex[2 * i]), low = nibble(hex[2 * i + 1]);
    if (high < 0 || low < 0) return config_error("a digest has 64 hexadecimal digits");
    digest.bytes[i] = static_cast<uint8_t>(high << 4 | low);
  }
  return digest;
}

Hasher::Hasher() : context_(EVP_MD_CTX_new()) {
  EVP_DigestInit_ex(context_of(context_), EVP_sha256(), nullptr);
}
Hasher::~Hasher() { EVP_MD_CTX_free(context_of(context_)); }
Hasher::Hasher(Hasher&& other) noexcept : context_(std::exchange(other.context_, nullptr)) {}
Hasher& Hasher::operator=(Hasher&& other) noexcept {
  std::swap(context_, other.context_);
  return *this;
}

Hasher& Hasher::add(std::span<const std::byte> data) {
  EVP_DigestUpdate(context_of(context_), data.data(), data.size());
  return *this;
}

Hasher& Hasher::add(std::string_view text) { return add(std::as_bytes(std::span(text))); }

Digest Hasher::finish() {
  Digest digest;
  unsigned length = 0;
  EVP_DigestFinal_ex(context_of(context_), digest.bytes.data(), &length);
  EVP_DigestInit_ex(context_of(context_), EVP_sha256(), nullptr);
  return digest;
}

Digest digest_of(std::span<const std::byte> data) { return Hasher().add(data).finish(); }
Digest digest_of(std::string_view text) { return Hasher().add(text).finish(); }

Digest merkle_root(std::span<const Digest> leaves) {
  if (leaves.empty()) return digest_of(std::string_view());
  std::vector<Digest> row;
  row.reserve(leaves.size());
  Hasher hasher;
  for (const Digest& leaf : leaves) {
    row.push_back(hasher.add_number(uint8_t{0}).add(std::as_bytes(std::span(leaf.bytes))).finish());
  }
  while (row.size() > 1) {
    std::vector<Digest> above;
    for (size_t i = 0; i + 1 < row.size(); i += 2) {
      above.push_back(hasher.add_number(uint8_t{1})
                          .add(std::as_bytes(std::span(row[i].bytes)))
                          .add(std::as_bytes(std::span(row[i + 1].bytes)))
                          .finish());
    }
    if (row.size() % 2 == 1) above.push_back(row.back());
    row = std::move(above);
  }
  return row[0];
}

}  // namespace skarv
