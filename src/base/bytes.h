// Numbers as they lie in memory, in a string of bytes.
#pragma once

#include <string>
#include <type_traits>

namespace skarv {

template <typename T>
  requires std::is_trivially_copyable_v<T>
void append_bytes(std::string& to, T value) {
  to.append(reinterpret_cast<const char*>(&value), sizeof value);
}

}  // namespace skarv
