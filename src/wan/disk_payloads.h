// Merged payloads on disk: PayloadStore over PayloadLog.
#pragma once

#include <filesystem>
#include <map>
#include <memory>

#include "wan/payload_log.h"
#include "wan/payload_store.h"

namespace skarv::wan {

class DiskPayloads : public PayloadStore {
 public:
  static Result<std::unique_ptr<DiskPayloads>> open(const std::filesystem::path& folder,
                                                    const Digest& run);
  Status append(int64_t round, int slab, const Digest& leaf, const net::Buffer& bytes) override;
  Status sync() override { return log_.sync(); }
  Result<StoredPayload> load(int64_t round, int slab) override;
  Status prune(int64_t retain_from) override;

 private:
  explicit DiskPayloads(PayloadLog log);
  PayloadLog log_;
  std::map<std::pair<int64_t, int>, Digest> newest_;
};

}  // namespace skarv::wan
