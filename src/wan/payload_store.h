// Where merged payloads lie until no island wants them any more: on disk (`durability = "disk"`),
// or in memory, which loses them with the process.
#pragma once

#include <cstdint>
#include <map>

#include "base/digest.h"
#include "base/status.h"
#include "net/buffer.h"

namespace skarv::wan {

struct StoredPayload {
  Digest leaf;
  net::Buffer bytes;
};

// One thread at a time.
class PayloadStore {
 public:
  virtual ~PayloadStore() = default;
  // A later payload of the same slab and round replaces an earlier one.
  virtual Status append(int64_t round, int slab, const Digest& leaf, const net::Buffer& bytes) = 0;
  // Everything appended is durable when this returns ok.
  virtual Status sync() = 0;
  // Errors: kNotFound; kDataLoss.
  virtual Result<StoredPayload> load(int64_t round, int slab) = 0;
  // Rounds below go away.
  virtual Status prune(int64_t retain_from) = 0;
};

class MemoryPayloads : public PayloadStore {
 public:
  Status append(int64_t round, int slab, const Digest& leaf, const net::Buffer& bytes) override;
  Status sync() override { return {}; }
  Result<StoredPayload> load(int64_t round, int slab) override;
  Status prune(int64_t retain_from) override;

 private:
  std::map<std::pair<int64_t, int>, StoredPayload> payloads_;
};

}  // namespace skarv::wan
