#include "comm/tag.h"

#include <cstring>

#include "base/text.h"

namespace skarv::comm {
namespace {

constexpr size_t kTagBytes = 4 + 8 + 3 * 4;

}  // namespace

std::string to_string(const Tag& tag) {
  switch (tag.payload) {
    case Payload::kActivation:
      return cat("activation of microbatch ", tag.part, " for stage ", tag.stage);
    case Payload::kGradient:
      return cat("gradient of microbatch ", tag.part, " for stage ", tag.stage);
    case Payload::kSlabGradients:
      return cat("gradients of reduce group ", tag.unit, ", part ", tag.part);
    case Payload::kSlabValues:
      return cat("weights of reduce group ", tag.unit, ", part ", tag.part);
    case Payload::kNorm:
      return cat("gradient norm of step ", tag.sequence);
    case Payload::kClip:
      return cat("clip factor of step ", tag.sequence);
  }
  return "message of unknown kind";
}

// Little-endian on every supported processor (design: x86 and ARM).
std::string encode(const Tag& tag) {
  std::string bytes(kTagBytes, '\0');
  const int32_t payload = static_cast<int32_t>(tag.payload);
  std::memcpy(bytes.data(), &payload, 4);
  std::memcpy(bytes.data() + 4, &tag.sequence, 8);
  std::memcpy(bytes.data() + 12, &tag.unit, 4);
  std::memcpy(bytes.data() + 16, &tag.stage, 4);
  std::memcpy(bytes.data() + 20, &tag.part, 4);
  return bytes;
}

std::optional<Tag> decode_tag(std::string_view bytes) {
  if (bytes.size() != kTagBytes) return std::nullopt;
  Tag tag;
  int32_t payload;
  std::memcpy(&payload, bytes.data(), 4);
  if (payload < 0 || payload > static_cast<int32_t>(Payload::kClip)) return std::nullopt;
  tag.payload = static_cast<Payload>(payload);
  std::memcpy(&tag.sequence, bytes.data() + 4, 8);
  std::memcpy(&tag.unit, bytes.data() + 12, 4);
  std::memcpy(&tag.stage, bytes.data() + 16, 4);
  std::memcpy(&tag.part, bytes.data() + 20, 4);
  return tag;
}

}  // namespace skarv::comm
