#include "wan/payload.h"

#include "base/text.h"

namespace skarv {

const char* name_of(PayloadKind kind) {
  switch (kind) {
    case PayloadKind::kContribution:
      return "contribution";
    case PayloadKind::kMerged:
      return "merged payload";
  }
  return "payload";
}

Digest payload_leaf(PayloadKind kind, int slab, int64_t round, std::span<const std::byte> bytes) {
  return Hasher()
      .add_number(static_cast<uint8_t>(kind))
      .add_number(static_cast<int32_t>(slab))
      .add_number(round)
      .add_number(static_cast<uint64_t>(bytes.size()))
      .add(bytes)
      .finish();
}

Status check_payload(const SlabTable& table, PayloadKind kind, int slab, int64_t round,
                     std::span<const std::byte> bytes, const Digest& leaf,
                     const std::string& from) {
  const Digest actual = payload_leaf(kind, slab, round, bytes);
  if (actual == leaf) return Status();
  return Status(Code::kDataLoss, Scope::kPeer,
                cat(name_of(kind), " to slab ", slab, " (", table.name_of(slab), ") of round ",
                    round, " from ", from, " has digest ", actual.short_hex(), " instead of ",
                    leaf.short_hex(), ": its bytes were changed on the way or in memory"))
      .with_hint("it is fetched again; if this repeats, check that host's memory and network card");
}

}  // namespace skarv
