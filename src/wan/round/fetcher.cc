#include "wan/round/fetcher.h"

#include <algorithm>

namespace skarv::wan {

namespace {
constexpr int kMaxUnderWay = 32;
}

void Fetcher::want(const Key& key, const Digest& digest, std::vector<std::string> donors,
                   bool pushed, Time now) {
  if (donors.empty() || wanted_.contains(key)) return;
  Entry entry;
  entry.digest = digest;
  entry.donors = std::move(donors);
  if (pushed) entry.waiting_for = entry.donors.front();
  entry.next_at = pushed ? now + timers_.progress : now;
  wanted_.emplace(key, std::move(entry));
}

Digest Fetcher::digest_of(const Key& key) const {
  auto found = wanted_.find(key);
  return found == wanted_.end() ? Digest{} : found->second.digest;
}

bool Fetcher::refused(const Key& key, const std::string& from, Time now) {
  auto found = wanted_.find(key);
  if (found == wanted_.end()) return false;
  Entry& entry = found->second;
  if (entry.waiting_for != from) return false;
  ++entry.num_absent;
  entry.waiting_for.clear();
  // A whole round of donors without it: do not ask in a circle at full speed.
  const bool lap = entry.num_absent % static_cast<int>(entry.donors.size()) == 0;
  entry.next_at = lap ? now + timers_.beat : now;
  return entry.num_absent >= 2 * static_cast<int>(entry.donors.size());
}

void Fetcher::drop_rounds_through(int64_t round) {
  std::erase_if(wanted_, [&](const auto& item) {
    return item.first.kind != FetchKind::kState && item.first.round <= round;
  });
}

void Fetcher::drop(FetchKind kind) {
  std::erase_if(wanted_, [&](const auto& item) { return item.first.kind == kind; });
}

void Fetcher::progress(const std::string& peer, Time now) {
  for (auto& [key, entry] : wanted_) {
    if (entry.waiting_for == peer) entry.next_at = std::max(entry.next_at, now + timers_.progress);
  }
}

void Fetcher::reconnected(const std::string& peer) {
  for (auto& [key, entry] : wanted_) {
    if (entry.waiting_for == peer) entry.next_at = Time{};
  }
}

std::vector<std::string> Fetcher::owing() const {
  std::set<std::string> peers;
  for (const auto& [key, entry] : wanted_) {
    if (key.kind == FetchKind::kPayload && entry.num_tries > 0) peers.insert(entry.donors.front());
  }
  return {peers.begin(), peers.end()};
}

std::vector<Fetcher::Ask> Fetcher::poll(Time now) {
  int num_under_way = 0;
  for (const auto& [key, entry] : wanted_) {
    if (entry.asked && !entry.waiting_for.empty() && entry.next_at > now) ++num_under_way;
  }
  std::vector<Ask> asks;
  for (auto& [key, entry] : wanted_) {
    if (entry.next_at > now) continue;
    if (num_under_way >= kMaxUnderWay) break;
    const std::string& donor = entry.donors[entry.next % entry.donors.size()];
    ++entry.next;
    ++entry.num_tries;
    ++num_under_way;
    entry.asked = true;
    entry.waiting_for = donor;
    entry.next_at = now + Timers::backed_off(timers_.progress, entry.num_tries);
    asks.push_back({donor, key, entry.digest});
  }
  return asks;
}

}  // namespace skarv::wan
