#include "spec/lease.h"

#include <algorithm>
#include <iterator>

#include "base/text.h"

namespace skarv {
namespace {

constexpr uint64_t kMaxSample = uint64_t{1} << 63;

std::string shown(SampleRange range) { return cat("[", range.begin, ", ", range.end, ")"); }

Json ranges_to_json(const SampleSet& set) {
  Json list = Json::array();
  for (SampleRange range : set.ranges()) list.push_back({range.begin, range.end});
  return list;
}

bool is_sample_number(const Json& value) {
  return value.is_number_unsigned() || (value.is_number_integer() && value.get<int64_t>() >= 0);
}

Status read_ranges(const Json& list, const std::string& name, SampleSet* set) {
  if (!list.is_array()) return config_error(cat("\"", name, "\" of the leases is no list"));
  for (const Json& pair : list) {
    if (!pair.is_array() || pair.size() != 2 || !is_sample_number(pair[0]) ||
        !is_sample_number(pair[1])) {
      return config_error(cat("\"", name, "\" of the leases has an entry that is no range"));
    }
    const SampleRange range{pair[0].get<uint64_t>(), pair[1].get<uint64_t>()};
    if (range.begin >= range.end || range.end > kMaxSample || set->overlaps(range)) {
      return config_error(
          cat("\"", name, "\" of the leases has the empty or doubled range ", shown(range)));
    }
    set->add(range);
  }
  return Status();
}

}  // namespace

bool SampleSet::contains(SampleRange range) const {
  const auto after = ends_.upper_bound(range.begin);
  return after != ends_.begin() && std::prev(after)->second >= range.end;
}

bool SampleSet::overlaps(SampleRange range) const {
  const auto after = ends_.upper_bound(range.begin);
  if (after != ends_.begin() && std::prev(after)->second > range.begin) return true;
  return after != ends_.end() && after->first < range.end;
}

void SampleSet::add(SampleRange range) {
  size_ += range.size();
  auto after = ends_.upper_bound(range.begin);
  if (after != ends_.end() && after->first == range.end) {
    range.end = after->second;
    after = ends_.erase(after);
  }
  if (after != ends_.begin() && std::prev(after)->second == range.begin) {
    std::prev(after)->second = range.end;
  } else {
    ends_.emplace_hint(after, range.begin, range.end);
  }
}

void SampleSet::remove(SampleRange range) {
  size_ -= range.size();
  const auto place = std::prev(ends_.upper_bound(range.begin));
  const SampleRange whole{place->first, place->second};
  ends_.erase(place);
  if (whole.begin < range.begin) ends_.emplace(whole.begin, range.begin);
  if (range.end < whole.end) ends_.emplace(range.end, whole.end);
}

std::vector<SampleRange> SampleSet::take(uint64_t count, const SampleLane& lane) {
  const bool is_all = lane.width() == lane.block;
  std::vector<SampleRange> taken;
  for (auto place = ends_.begin(); count > 0 && place != ends_.end();) {
    const auto [begin, end] = *place++;
    for (uint64_t from = begin; count > 0 && from < end;) {
      SampleRange range{from, end};
      if (!is_all) {
        const uint64_t block = from - from % lane.block;
        range = {std::max(from, block + lane.begin), std::min(end, block + lane.end)};
        from = block + lane.block;
      } else {
        from = end;
      }
      if (range.begin >= range.end) continue;
      if (range.size() > count) range.end = range.begin + count;
      count -= range.size();
      taken.push_back(range);
    }
  }
  for (SampleRange range : taken) remove(range);
  return taken;
}

std::vector<SampleRange> SampleSet::ranges() const {
  std::vector<SampleRange> all;
  for (const auto& [begin, end] : ends_) all.push_back({begin, end});
  return all;
}

Result<std::vector<SampleRange>> LeaseBook::grant(const std::string& holder, uint64_t count,
                                                  const SampleLane& lane) {
  if (holder.empty()) return config_error("a lease needs the name of its holder");
  if (lane.begin >= lane.end || lane.end > lane.block || lane.block > kMaxSample) {
    return config_error(
        cat("the lane ", shown({lane.begin, lane.end}), " of ", lane.block, " samples is empty"));
  }
  std::vector<SampleRange> granted = free_.take(count, lane);
  uint64_t missing = count;
  for (SampleRange range : granted) missing -= range.size();
  if (missing > 0) {
    // Whole blocks are opened; the parts of other lanes stay free.
    const uint64_t first_block = next_fresh_ / lane.block;
    const uint64_t num_blocks = std::min(missing, kMaxSample) / lane.width() + 2;
    if (missing > kMaxSample || num_blocks > kMaxSample / lane.block - first_block) {
      for (SampleRange range : granted) free_.add(range);
      return Status(Code::kResourceExhausted, Scope::kRun,
                    cat("no ", count, " sample numbers are left"));
    }
    const bool is_all = lane.width() == lane.block;
    const uint64_t end = is_all ? next_fresh_ + missing : (first_block + num_blocks) * lane.block;
    free_.add({next_fresh_, end});
    next_fresh_ = end;
    for (SampleRange range : free_.take(missing, lane)) {
      if (!granted.empty() && granted.back().end == range.begin) {
        granted.back().end = range.end;
      } else {
        granted.push_back(range);
      }
    }
  }
  for (SampleRange range : granted) held_[holder].add(range);
  return granted;
}

Status LeaseBook::take_from(const std::string& holder, const std::vector<SampleRange>& ranges,
                            SampleSet* target) {
  SampleSet listed;
  const auto held = held_.find(holder);
  for (SampleRange range : ranges) {
    if (range.begin >= range.end) {
      return config_error(cat("samples ", shown(range), " are no range")).at(holder);
    }
    if (held == held_.end() || !held->second.contains(range) || listed.overlaps(range)) {
      return Status(Code::kFailedPrecondition, Scope::kPeer,
                    cat("samples ", shown(range), " are not leased to ", holder))
          .at(holder)
          .with_hint("they were released after an eviction, or reported before");
    }
    listed.add(range);
  }
  for (SampleRange range : ranges) {
    held->second.remove(range);
    target->add(range);
  }
  if (held != held_.end() && held->second.empty()) held_.erase(held);
  return Status();
}

Status LeaseBook::used(const std::string& holder, const std::vector<SampleRange>& ranges) {
  return take_from(holder, ranges, &used_);
}

Status LeaseBook::give_back(const std::string& holder, const std::vector<SampleRange>& ranges) {
  return take_from(holder, ranges, &free_);
}

uint64_t LeaseBook::release(const std::string& holder) {
  const auto held = held_.find(holder);
  if (held == held_.end()) return 0;
  const uint64_t count = held->second.size();
  for (SampleRange range : held->second.ranges()) free_.add(range);
  held_.erase(held);
  return count;
}

uint64_t LeaseBook::num_held() const {
  uint64_t count = 0;
  for (const auto& [holder, set] : held_) count += set.size();
  return count;
}

uint64_t LeaseBook::num_held(const std::string& holder) const {
  const auto held = held_.find(holder);
  return held == held_.end() ? 0 : held->second.size();
}

std::vector<SampleRange> LeaseBook::held_ranges(const std::string& holder) const {
  const auto held = held_.find(holder);
  return held == held_.end() ? std::vector<SampleRange>() : held->second.ranges();
}

Status LeaseBook::check() const {
  SampleSet all;
  const auto join = [&](const SampleSet& set, const std::string& name) {
    for (SampleRange range : set.ranges()) {
      if (all.overlaps(range)) {
        return config_error(cat("samples ", shown(range), " (", name, ") have two states"));
      }
      all.add(range);
    }
    return Status();
  };
  SKARV_TRY(join(used_, "used"));
  SKARV_TRY(join(free_, "free"));
  for (const auto& [holder, set] : held_) SKARV_TRY(join(set, "held by " + holder));
  const bool is_whole =
      next_fresh_ == 0 ? all.empty() : all.ranges() == std::vector<SampleRange>{{0, next_fresh_}};
  if (!is_whole) return config_error(cat("not all samples below ", next_fresh_, " have a state"));
  return Status();
}

Json LeaseBook::to_json() const {
  Json held = Json::object();
  for (const auto& [holder, set] : held_) held[holder] = ranges_to_json(set);
  return {{"version", 1},
          {"next_fresh", next_fresh_},
          {"used", ranges_to_json(used_)},
          {"free", ranges_to_json(free_)},
          {"held", held}};
}

Result<LeaseBook> LeaseBook::from_json(const Json& json) {
  static const std::vector<std::string> kKeys = {"version", "next_fresh", "used", "free", "held"};
  if (!json.is_object()) return config_error("the leases are no JSON object");
  for (const auto& [key, value] : json.items()) {
    if (std::find(kKeys.begin(), kKeys.end(), key) != kKeys.end()) continue;
    const std::string nearest = nearest_name(key, kKeys);
    return config_error(cat("unknown key \"", key, "\" of the leases"))
        .with_hint(nearest.empty() ? "" : cat("did you mean \"", nearest, "\"?"));
  }
  for (const std::string& key : kKeys) {
    if (!json.contains(key)) return config_error(cat("the leases lack the key \"", key, "\""));
  }
  if (json["version"] != 1) {
    return config_error(cat("leases of version ", json["version"].dump(), ", not 1"));
  }
  LeaseBook book;
  if (!is_sample_number(json["next_fresh"]) || json["next_fresh"].get<uint64_t>() > kMaxSample) {
    return config_error("\"next_fresh\" of the leases is no sample number");
  }
  book.next_fresh_ = json["next_fresh"].get<uint64_t>();
  SKARV_TRY(read_ranges(json["used"], "used", &book.used_));
  SKARV_TRY(read_ranges(json["free"], "free", &book.free_));
  if (!json["held"].is_object()) return config_error("\"held\" of the leases is no object");
  for (const auto& [holder, list] : json["held"].items()) {
    SampleSet set;
    SKARV_TRY(read_ranges(list, holder, &set));
    if (holder.empty() || set.empty() || !book.held_.emplace(holder, std::move(set)).second) {
      return config_error(cat("\"held\" of the leases has an empty entry \"", holder, "\""));
    }
  }
  SKARV_TRY(book.check());
  return book;
}

}  // namespace skarv
