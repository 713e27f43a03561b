// A payload is one slab's encoded bytes for one round: a contribution or a merged result. Its leaf
// binds the bytes to slab and round, so that neither a flipped bit nor a replayed round passes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "base/digest.h"
#include "base/status.h"
#include "spec/slab.h"

namespace skarv {

enum class PayloadKind : uint8_t { kContribution = 1, kMerged = 2 };
const char* name_of(PayloadKind kind);  // "contribution", "merged payload"

Digest payload_leaf(PayloadKind kind, int slab, int64_t round, std::span<const std::byte> bytes);

// The receiver's check, before anything else looks at the bytes. Error: kDataLoss with scope kPeer,
// naming the slab, the round and `from` (who sent it, or where it lay).
Status check_payload(const SlabTable& table, PayloadKind kind, int slab, int64_t round,
                     std::span<const std::byte> bytes, const Digest& leaf, const std::string& from);

}  // namespace skarv
