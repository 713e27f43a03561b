#include "wan/disk_payloads.h"

#include "base/text.h"

namespace skarv::wan {

DiskPayloads::DiskPayloads(PayloadLog log) : log_(std::move(log)) {
  for (const PayloadEntry& entry : log_.entries()) newest_[{entry.round, entry.slab}] = entry.leaf;
}

Result<std::unique_ptr<DiskPayloads>> DiskPayloads::open(const std::filesystem::path& folder,
                                                         const Digest& run) {
  SKARV_ASSIGN(PayloadLog log, PayloadLog::open(folder, run));
  return std::unique_ptr<DiskPayloads>(new DiskPayloads(std::move(log)));
}

Status DiskPayloads::append(int64_t round, int slab, const Digest& leaf, const net::Buffer& bytes) {
  SKARV_TRY(log_.append(slab, round, leaf, bytes.span()));
  newest_[{round, slab}] = leaf;
  return Status();
}

Result<StoredPayload> DiskPayloads::load(int64_t round, int slab) {
  const auto found = newest_.find({round, slab});
  if (found == newest_.end()) {
    return Status(Code::kNotFound, Scope::kRun,
                  cat("no payload of slab ", slab, " for round ", round));
  }
  SKARV_ASSIGN(std::vector<std::byte> bytes, log_.read(slab, round, found->second));
  return StoredPayload{found->second, net::Buffer::take(std::move(bytes))};
}

Status DiskPayloads::prune(int64_t retain_from) {
  newest_.erase(newest_.begin(), newest_.lower_bound({retain_from, 0}));
  return log_.prune(retain_from);
}

}  // namespace skarv::wan
