// The fence on every message (protocol.md, 1): which run, which coordinator, which membership, and
// which try of which round a message belongs to.
#pragma once

#include <compare>
#include <cstdint>
#include <string>

namespace skarv::wan {

// What islands promise: a coordinator's incarnation, and the membership it leads. Ordered.
struct Term {
  int64_t epoch = 0;
  int64_t view = 0;
  auto operator<=>(const Term&) const = default;
};

struct Fence {
  uint64_t run = 0;  // first 8 bytes of run_identity(): settings, model and slab table
  Term term;
  int64_t round = 0;
  int64_t attempt = 0;
  auto operator<=>(const Fence&) const = default;
};

inline std::string to_string(const Fence& fence) {
  return "epoch " + std::to_string(fence.term.epoch) + ", view " + std::to_string(fence.term.view) +
         ", round " + std::to_string(fence.round) + ", attempt " + std::to_string(fence.attempt);
}

}  // namespace skarv::wan
