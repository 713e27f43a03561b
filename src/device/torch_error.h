// Where exceptions of libtorch become a Status. Every function of a room on libtorch that others
// call ends its exceptions here, so none crosses a module's edge.
#pragma once

#include <string>
#include <utility>

#include "base/status.h"

namespace skarv {

// The exception in flight as a Status, "what: message" without torch's stack trace. Out of memory
// is kResourceExhausted with a hint; anything else is kInternal of scope run. Only inside a catch.
Status status_of_exception(const std::string& what);

// Runs `body` (returns void, Status or Result<T>) and turns what it throws into a Status.
template <typename Body>
auto guarded(const std::string& what, Body&& body) {
  using Returned = decltype(body());
  if constexpr (std::is_void_v<Returned>) {
    try {
      body();
      return Status();
    } catch (...) {
      return status_of_exception(what);
    }
  } else {
    try {
      return body();
    } catch (...) {
      return Returned(status_of_exception(what));
    }
  }
}

}  // namespace skarv
