#include "wan/round/lease_desk.h"

#include <algorithm>
#include <charconv>

#include "wan/round/fields.h"
#include "wan/round/record.h"

namespace skarv::wan {

namespace {

std::string holder(const std::string& island, int64_t generation) {
  return island + "#" + std::to_string(generation);
}

// -1: not one of the island's.
int64_t generation_of(const std::string& name, const std::string& island) {
  if (name.size() <= island.size() + 1 || !name.starts_with(island) || name[island.size()] != '#') {
    return -1;
  }
  int64_t generation = -1;
  const char* begin = name.data() + island.size() + 1;
  const char* end = name.data() + name.size();
  const auto [stop, error] = std::from_chars(begin, end, generation);
  return error == std::errc() && stop == end ? generation : -1;
}

}  // namespace

Json LeaseDesk::to_json() const {
  Json last = Json::array();
  for (const auto& [island, lease] : last_) {
    last.push_back({{"island", island},
                    {"id", lease.id},
                    {"generation", lease.generation},
                    {"ranges", wan::to_json(lease.ranges)}});
  }
  return {{"book", book_.to_json()}, {"last", std::move(last)}};
}

Result<LeaseDesk> LeaseDesk::from_json(const Json& json) {
  const std::string origin = "leases";
  Fields fields(json, origin);
  LeaseDesk desk;
  SKARV_ASSIGN(desk.book_, LeaseBook::from_json(fields.object("book")));
  for (const Json& entry : fields.array("last", kMaxIslands)) {
    Fields inner(entry, origin);
    Lease lease;
    const std::string island = inner.text("island", kMaxNameBytes);
    lease.id = inner.word("id");
    lease.generation = inner.integer("generation", 0);
    SKARV_ASSIGN(lease.ranges, ranges_from_json(inner.array("ranges", kMaxRanges), origin));
    SKARV_TRY(inner.status());
    desk.last_[island] = std::move(lease);
  }
  SKARV_TRY(fields.status());
  return desk;
}

Result<bool> LeaseDesk::grant(const std::string& island, const LeaseRequest& request,
                              const SampleLane& lane, Lease* answer) {
  Lease& last = last_[island];
  *answer = {};
  const auto asked = std::pair(request.generation, request.id);
  const auto known = std::pair(last.generation, last.id);
  if (asked < known || request.count == 0 || request.id == 0) return false;
  if (asked == known) {
    *answer = last;
    return false;
  }
  SKARV_ASSIGN(std::vector<SampleRange> ranges,
               book_.grant(holder(island, request.generation), request.count, lane));
  std::sort(ranges.begin(), ranges.end());
  last = {request.id, request.generation, std::move(ranges)};
  *answer = last;
  return true;
}

bool LeaseDesk::holds(const Contribution& contribution) const {
  if (contribution.samples.empty()) return true;
  SampleSet held;
  for (const SampleRange& range :
       book_.held_ranges(holder(contribution.island, contribution.generation))) {
    held.add(range);
  }
  return std::all_of(contribution.samples.begin(), contribution.samples.end(),
                     [&](const SampleRange& range) { return held.contains(range); });
}

Status LeaseDesk::used(const Contribution& contribution) {
  if (contribution.samples.empty()) return {};
  return book_.used(holder(contribution.island, contribution.generation), contribution.samples);
}

uint64_t LeaseDesk::release_before(const std::string& island, int64_t generation) {
  uint64_t released = 0;
  const Json book = book_.to_json();
  for (const auto& [name, ranges] : book.at("held").items()) {
    const int64_t holding = generation_of(name, island);
    if (holding >= 0 && holding < generation) released += book_.release(name);
  }
  return released;
}

}  // namespace skarv::wan
