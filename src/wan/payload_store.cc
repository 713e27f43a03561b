#include "wan/payload_store.h"

#include "base/text.h"

namespace skarv::wan {

Status MemoryPayloads::append(int64_t round, int slab, const Digest& leaf,
                              const net::Buffer& bytes) {
  payloads_[{round, slab}] = {leaf, bytes};
  return {};
}

Result<StoredPayload> MemoryPayloads::load(int64_t round, int slab) {
  auto found = payloads_.find({round, slab});
  if (found == payloads_.end()) {
    return Status(Code::kNotFound, Scope::kRun,
                  cat("no merged payload of round ", round, ", slab ", slab));
  }
  return found->second;
}

Status MemoryPayloads::prune(int64_t retain_from) {
  payloads_.erase(payloads_.begin(), payloads_.lower_bound({retain_from, 0}));
  return {};
}

}  // namespace skarv::wan
