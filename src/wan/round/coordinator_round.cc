#include "wan/round/coordinator_round.h"

#include <cmath>

#include "base/text.h"
#include "wan/round/placement.h"

namespace skarv::wan {

CoordinatorRound::CoordinatorRound(const SlabTable& table, const View& view, int64_t round)
    : table_(table),
      view_(view),
      round_(round),
      fragment_(table.fragment_of_round(round)),
      slabs_(table.slabs_of_fragment(fragment_)) {}

void CoordinatorRound::start_attempt(std::vector<std::string> mergers) {
  // What the mergers hold may have changed since they told, when an island started anew between
  // its offer and CLOSE: they tell again.
  if (state_ == State::kClosed) held_.clear();
  ++attempt_;
  state_ = State::kOpen;
  mergers_ = std::move(mergers);
  for (int slab : slabs_) merger_[slab] = merger_of(slab, view_, mergers_);
  delivered_.clear();
  merged_.clear();
  record_.reset();
  record_digest_ = {};
  accepted_.clear();
}

bool CoordinatorRound::add_offer(const Offer& offer) {
  const std::string& island = offer.contribution.island;
  auto found = offers_.find(island);
  if (found != offers_.end()) {
    const Contribution& known = found->second.contribution;
    const bool newer = offer.contribution.generation > known.generation ||
                       (offer.contribution.generation == known.generation &&
                        found->second.declined && !offer.declined);
    if (!newer) return false;
    held_.erase(island);
  }
  offers_[island] = offer;
  doubtful_.erase(island);
  // What mergers told before the first offer may be of an earlier life of the island.
  (void)check_root(island);
  return true;
}

void CoordinatorRound::drop_offer(const std::string& island) {
  offers_.erase(island);
  held_.erase(island);
}

const Offer* CoordinatorRound::offer_of(const std::string& island) const {
  auto found = offers_.find(island);
  return found == offers_.end() ? nullptr : &found->second;
}

bool CoordinatorRound::declined(const std::string& island) const {
  const Offer* offer = offer_of(island);
  return offer != nullptr && offer->declined;
}

Status CoordinatorRound::add_have(const std::string& merger, const Have& have) {
  auto& held = held_[have.island];
  for (const SlabFacts& facts : have.slabs) {
    auto place = merger_.find(facts.slab);
    if (place != merger_.end() && place->second == merger) held[facts.slab] = {merger, facts};
  }
  return check_root(have.island);
}

Status CoordinatorRound::check_root(const std::string& island) {
  const auto held = held_.find(island);
  const Offer* offer = offer_of(island);
  if (offer == nullptr || offer->declined || held == held_.end()) return {};
  if (held->second.size() != slabs_.size()) return {};
  std::vector<Digest> leaves;
  for (const auto& [slab, entry] : held->second) leaves.push_back(entry.facts.leaf);
  if (merkle_root(leaves) == offer->contribution.root) {
    doubtful_.erase(island);
    return {};
  }
  held_.erase(held);
  doubtful_.insert(island);
  return Status(Code::kDataLoss, Scope::kPeer,
                cat("round ", round_, ": the slabs that the mergers hold of ", island,
                    "'s contribution are not those that it offered; refused"))
      .at(island);
}

void CoordinatorRound::forget_merger(const std::string& merger) {
  for (auto& [island, slabs] : held_) {
    std::erase_if(slabs, [&](const auto& entry) { return entry.second.merger == merger; });
  }
}

bool CoordinatorRound::complete(const std::string& island) const {
  const Offer* offer = offer_of(island);
  auto held = held_.find(island);
  if (offer == nullptr || offer->declined || held == held_.end()) return false;
  if (held->second.size() != slabs_.size()) return false;
  for (const auto& [slab, entry] : held->second) {
    if (entry.merger != merger_.at(slab)) return false;
  }
  return true;
}

std::vector<std::string> CoordinatorRound::complete_islands() const {
  std::vector<std::string> islands;
  for (const ViewIsland& island : view_.islands) {
    if (complete(island.name)) islands.push_back(island.name);
  }
  return islands;
}

bool CoordinatorRound::owes_have(const std::string& merger) const {
  for (const auto& [island, offer] : offers_) {
    if (offer.declined) continue;
    auto held = held_.find(island);
    for (const auto& [slab, place] : merger_) {
      if (place != merger) continue;
      if (held == held_.end()) return true;
      auto entry = held->second.find(slab);
      if (entry == held->second.end() || entry->second.merger != merger) return true;
    }
  }
  return false;
}

Status CoordinatorRound::close(const ExchangeSettings& exchange) {
  const bool exact = exchange.mode == ExchangeMode::kGradient;
  std::vector<ValueFacts> facts;
  std::vector<const Offer*> offers;
  for (const std::string& island : complete_islands()) {
    ValueFacts whole;
    for (const auto& [slab, entry] : held_.at(island)) {
      whole.add({entry.facts.sum_of_squares, entry.facts.finite});
    }
    facts.push_back(whole);
    offers.push_back(&offers_.at(island));
  }
  const std::vector<Judgement> judgements = judge(facts, exact ? 0 : exchange.clip_to_median);
  std::vector<skarv::Delivered> shares;
  double num_counted = 0;
  bool any = false;
  for (size_t i = 0; i < offers.size(); ++i) {
    const Contribution& contribution = offers[i]->contribution;
    shares.push_back({static_cast<double>(contribution.tokens),
                      static_cast<double>(contribution.steps), judgements[i].factor});
    if (judgements[i].verdict == Verdict::kRejected) continue;
    any = true;
    num_counted += static_cast<double>(contribution.tokens);
  }
  if (!any) {
    return Status(Code::kFailedPrecondition, Scope::kRun,
                  cat("round ", round_, ": no contribution is left to merge"));
  }
  // Exact mode: a contribution is a sum over its samples, so each counts by one over all of them.
  std::vector<float> weights = merge_weights(shares);
  if (exact) {
    const float each = static_cast<float>(1.0 / std::max(num_counted, 1.0));
    for (size_t i = 0; i < weights.size(); ++i) {
      weights[i] = judgements[i].verdict == Verdict::kRejected ? 0.0f : each;
    }
  }
  delivered_.clear();
  for (size_t i = 0; i < offers.size(); ++i) {
    delivered_.push_back(
        {offers[i]->contribution, arithmetic::bits_of(weights[i]), judgements[i].verdict});
  }
  state_ = State::kClosed;
  return {};
}

bool CoordinatorRound::add_merged(const std::string& merger, const MergedFacts& facts) {
  if (state_ != State::kClosed) return false;
  std::vector<int> slabs;
  std::vector<std::vector<Digest>> leaves;
  for (int slab : slabs_) {
    if (merger_.at(slab) != merger) continue;
    slabs.push_back(slab);
    leaves.emplace_back();
    for (const RecordEntry& entry : delivered_) {
      leaves.back().push_back(held_.at(entry.contribution.island).at(slab).facts.leaf);
    }
  }
  if (facts.slabs.size() != slabs.size() || facts.inputs != inputs_digest(slabs, leaves)) {
    return false;
  }
  for (size_t i = 0; i < slabs.size(); ++i) {
    if (facts.slabs[i].slab != slabs[i] || !facts.slabs[i].finite) return false;
  }
  bool fresh = false;
  for (const SlabFacts& slab : facts.slabs) fresh |= merged_.emplace(slab.slab, slab).second;
  return fresh;
}

bool CoordinatorRound::owes_merged(const std::string& merger) const {
  if (state_ != State::kClosed) return false;
  for (const auto& [slab, place] : merger_) {
    if (place == merger && !merged_.contains(slab)) return true;
  }
  return false;
}

double CoordinatorRound::merged_norm() const {
  double sum = 0;
  for (const auto& [slab, facts] : merged_) sum += facts.sum_of_squares;
  return std::sqrt(sum);
}

std::vector<Digest> CoordinatorRound::leaves() const {
  std::vector<Digest> leaves;
  for (const auto& [slab, facts] : merged_) leaves.push_back(facts.leaf);
  return leaves;
}

void CoordinatorRound::propose(Record record) {
  record_ = std::move(record);
  record_digest_ = digest_of(*record_);
  state_ = State::kAccepting;
}

bool CoordinatorRound::add_accepted(const std::string& island, const Digest& record) {
  if (state_ != State::kAccepting || record != record_digest_) return false;
  return accepted_.emplace(island, true).second;
}

bool CoordinatorRound::accepted(const std::string& island) const {
  return accepted_.contains(island);
}

Digest inputs_digest(const std::vector<int>& slabs,
                     const std::vector<std::vector<Digest>>& leaves) {
  Hasher hasher;
  hasher.add("skarv inputs");
  for (size_t i = 0; i < slabs.size(); ++i) {
    hasher.add_number<int32_t>(slabs[i]);
    for (const Digest& leaf : leaves[i]) hasher.add(std::as_bytes(std::span(leaf.bytes)));
  }
  return hasher.finish();
}

}  // namespace skarv::wan
