#include "wan/merger_store.h"

#include <utility>

#include "wan/payload.h"

namespace skarv {

MergerStore::MergerStore(const SlabTable& table, CodecKind upload, CodecKind download,
                         float residual_decay)
    : table_(table),
      upload_(codec_of(upload)),
      download_(codec_of(download)),
      residual_decay_(residual_decay) {}

void MergerStore::add(int slab) { slabs_.try_emplace(slab); }
void MergerStore::remove(int slab) { slabs_.erase(slab); }

std::span<const float> MergerStore::residual(int slab) const {
  const auto found = slabs_.find(slab);
  return found == slabs_.end() ? std::span<const float>() : found->second.residual;
}

void MergerStore::restore(int slab, std::span<const float> residual) {
  if (download_.lossless()) return;
  slabs_[slab].residual.assign(residual.begin(), residual.end());
}

Result<Merged> MergerStore::merge(int slab, int64_t round, std::span<const MergeInput> inputs) {
  Entry& entry = slabs_.at(slab);
  const int64_t size = table_[slab].size();
  entry.round = 0;
  entry.payload.resize(static_cast<size_t>(download_.encoded_bytes(size)));
  if (!download_.lossless()) entry.next_residual.resize(static_cast<size_t>(size));
  Result<ValueFacts> facts = merge_slab(upload_, download_, size, inputs, entry.residual,
                                        residual_decay_, entry.payload, entry.next_residual);
  if (!facts.ok()) return facts.status().wrap("cannot merge " + table_.name_of(slab));
  entry.round = round;
  entry.leaf = payload_leaf(PayloadKind::kMerged, slab, round, entry.payload);
  return Merged{entry.payload, entry.leaf, *facts};
}

void MergerStore::commit(int slab, int64_t round, const Digest& leaf) {
  const auto found = slabs_.find(slab);
  if (found == slabs_.end()) return;
  Entry& entry = found->second;
  if (entry.round != round || entry.leaf != leaf) return;
  std::swap(entry.residual, entry.next_residual);
  entry.round = 0;
}

}  // namespace skarv
