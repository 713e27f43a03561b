#include "wan/round/merger_desk.h"

#include "wan/round/coordinator_round.h"

namespace skarv::wan {

bool MergerDesk::add(int64_t round, const std::string& island, int slab, const Digest& leaf,
                     const net::Buffer& bytes, bool replace) {
  auto& slabs = received_[round][island];
  auto found = slabs.find(slab);
  if (found != slabs.end()) {
    if (found->second.leaf == leaf || (found->second.measured && !replace)) return false;
  }
  slabs[slab] = {leaf, bytes, {}, false};
  return true;
}

void MergerDesk::measured(int64_t round, const std::string& island, int slab, const Digest& leaf,
                          const ValueFacts& facts) {
  auto& slabs = received_[round][island];
  auto found = slabs.find(slab);
  if (found == slabs.end() || found->second.leaf != leaf) return;
  found->second.facts = facts;
  found->second.measured = true;
}

void MergerDesk::refuse(int64_t round, const std::string& island, int slab, const Digest& leaf) {
  auto& slabs = received_[round][island];
  auto found = slabs.find(slab);
  if (found != slabs.end() && found->second.leaf == leaf) slabs.erase(found);
}

const MergerDesk::Received* MergerDesk::find(int64_t round, const std::string& island,
                                             int slab) const {
  auto of_round = received_.find(round);
  if (of_round == received_.end()) return nullptr;
  auto of_island = of_round->second.find(island);
  if (of_island == of_round->second.end()) return nullptr;
  auto found = of_island->second.find(slab);
  return found == of_island->second.end() ? nullptr : &found->second;
}

std::optional<Have> MergerDesk::have(int64_t round, const std::string& island,
                                     const std::vector<int>& slabs) const {
  Have have;
  have.island = island;
  for (int slab : slabs) {
    const Received* received = find(round, island, slab);
    if (received == nullptr || !received->measured) return std::nullopt;
    const ValueFacts& facts = received->facts;
    have.slabs.push_back(
        {slab, received->leaf, facts.finite ? facts.sum_of_squares : 0, facts.finite});
  }
  return have;
}

std::vector<std::string> MergerDesk::islands_of(int64_t round) const {
  std::vector<std::string> islands;
  auto found = received_.find(round);
  if (found == received_.end()) return islands;
  for (const auto& [island, slabs] : found->second) islands.push_back(island);
  return islands;
}

void MergerDesk::start_attempt(const Fence& fence) {
  if (fence == fence_) return;
  fence_ = fence;
  merging_.clear();
}

std::optional<MergedFacts> MergerDesk::merged(const std::vector<int>& slabs,
                                              const std::vector<RecordEntry>& delivered) const {
  MergedFacts facts;
  std::vector<std::vector<Digest>> leaves;
  for (int slab : slabs) {
    auto found = merging_.find(slab);
    if (found == merging_.end() || !found->second) return std::nullopt;
    const Result& result = *found->second;
    facts.slabs.push_back({slab, result.leaf, result.facts.sum_of_squares, result.facts.finite});
    leaves.emplace_back();
    for (const RecordEntry& entry : delivered) {
      const Received* received = find(fence_.round, entry.contribution.island, slab);
      if (received == nullptr) return std::nullopt;
      leaves.back().push_back(received->leaf);
    }
  }
  facts.inputs = inputs_digest(slabs, leaves);
  return facts;
}

void MergerDesk::drop_rounds_through(int64_t round) {
  received_.erase(received_.begin(), received_.upper_bound(round));
  if (fence_.round <= round) merging_.clear();
}

void MergerDesk::clear() {
  received_.clear();
  merging_.clear();
  fence_ = {};
}

}  // namespace skarv::wan
