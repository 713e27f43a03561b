// What a message between two ranks of an island is. Sender and receiver each make the tag from
// their own action, so equal tags meet whatever the order on the wire.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace skarv::comm {

enum class Payload : int32_t {
  kActivation,     // input of `stage` for microbatch `part` of pipeline `unit`
  kGradient,       // of the output of `stage` for microbatch `part` of pipeline `unit`
  kSlabGradients,  // bucket `part` of reduce group `unit` for owner `stage`
  kSlabValues,     // bucket `part` of reduce group `unit` from owner `stage`
  kNorm,           // squared gradient norm of the sender's slabs
  kClip,           // what rank 0 decided
};

struct Tag {
  Payload payload = Payload::kActivation;
  int64_t sequence = 0;  // the step, or a count of the group's exchanges
  int32_t unit = 0;
  int32_t stage = 0;
  int32_t part = 0;

  auto operator<=>(const Tag&) const = default;
};

// "activation of microbatch 5 for stage 2".
std::string to_string(const Tag& tag);

// The head of the message that carries it.
std::string encode(const Tag& tag);
// Nothing when the bytes are no tag.
std::optional<Tag> decode_tag(std::string_view bytes);

}  // namespace skarv::comm
