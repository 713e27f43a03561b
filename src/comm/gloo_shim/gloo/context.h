// Part of the shim: what ProcessGroupGloo.hpp needs of gloo's context. The class itself lives in
// libtorch; only its address is handled here.
#pragma once

#include <chrono>

namespace gloo {

class Context {
 public:
  void setTimeout(std::chrono::milliseconds timeout);
};

namespace transport {
class UnboundBuffer {
 public:
  virtual ~UnboundBuffer() = default;
};
}  // namespace transport

}  // namespace gloo
