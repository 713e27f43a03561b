// Immutable bytes with shared ownership: what a message carries. Copying a Buffer copies a pointer,
// so a body may be queued on many connections, or be a window into memory that somebody else owns
// (a tensor on the host, a mapped file), without a copy.
#pragma once

#include <cstddef>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace skarv::net {

class Buffer {
 public:
  Buffer() = default;

  // The bytes stay valid and unchanged as long as `owner` lives; a Buffer keeps it alive.
  static Buffer wrap(std::span<const std::byte> bytes, std::shared_ptr<const void> owner) {
    Buffer buffer;
    buffer.data_ = std::shared_ptr<const std::byte>(std::move(owner), bytes.data());
    buffer.size_ = bytes.size();
    return buffer;
  }
  static Buffer take(std::vector<std::byte> bytes) {
    auto owner = std::make_shared<const std::vector<std::byte>>(std::move(bytes));
    return wrap(*owner, owner);
  }
  static Buffer take(std::string text) {
    auto owner = std::make_shared<const std::string>(std::move(text));
    return wrap(std::as_bytes(std::span(*owner)), owner);
  }
  static Buffer copy_of(std::span<const std::byte> bytes) {
    std::shared_ptr<std::byte[]> owner = std::make_shared_for_overwrite<std::byte[]>(bytes.size());
    if (!bytes.empty()) std::memcpy(owner.get(), bytes.data(), bytes.size());
    return wrap({owner.get(), bytes.size()}, owner);
  }

  const std::byte* data() const { return data_.get(); }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  std::span<const std::byte> span() const { return {data(), size_}; }
  std::string_view text() const { return {reinterpret_cast<const char*>(data()), size_}; }

 private:
  std::shared_ptr<const std::byte> data_;
  size_t size_ = 0;
};

}  // namespace skarv::net
