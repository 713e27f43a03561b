#include "rivals/likeness.h"

#include <algorithm>
#include <bit>
#include <set>

namespace skarv {
namespace {

uint64_t mix(uint64_t hash, uint64_t word) {  // splitmix64 of the two
  uint64_t x = (hash ^ word) + 0x9e3779b97f4a7c15ull + (hash << 6);
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

uint64_t of_text(const std::string& text) {
  uint64_t hash = text.size();
  for (unsigned char letter : text) hash = mix(hash, letter);
  return hash;
}

struct Seat {
  int host = 0;
  uint64_t device = 0;  // what it is
};

struct Unit {
  uint64_t base = 0;
  std::vector<Seat> seats;
  uint64_t color = 0;
};

size_t num_different(std::vector<uint64_t> colors) {
  std::ranges::sort(colors);
  return static_cast<size_t>(std::ranges::unique(colors).begin() - colors.begin());
}

class Likeness {
 public:
  Likeness(const Island& island, const std::map<std::string, double>& owner_share,
           const std::vector<GroupLoad>* slabs, const StepWorld& world)
      : owner_share_(owner_share), world_(world) {
    for (const LinkMeasure& link : world.links.links) apart_.insert({link.from, link.to});
    if (slabs != nullptr) {
      const std::vector<std::string> names = island.devices();
      for (const GroupLoad& group : *slabs) {
        for (const OwnedPart& part : group.owned) {
          uint64_t& hash = owned_[names[part.rank]];
          hash = mix(mix(hash, static_cast<uint64_t>(part.layer)),
                     static_cast<uint64_t>(part.elements));
        }
      }
    }
    for (const Pipeline& pipeline : island.pipelines) add(pipeline);
  }

  uint64_t key() {
    size_t before = 0;
    for (;;) {
      std::vector<std::vector<uint64_t>> on_host(hosts_.size());
      std::vector<uint64_t> colors;
      for (Unit& unit : units_) {
        unit.color = unit.base;
        for (const Seat& seat : unit.seats) unit.color = mix(unit.color, hosts_[seat.host]);
        for (size_t i = 0; i < unit.seats.size(); ++i) {
          on_host[unit.seats[i].host].push_back(mix(unit.color, i));
        }
        colors.push_back(unit.color);
      }
      for (size_t host = 0; host < hosts_.size(); ++host) {
        std::ranges::sort(on_host[host]);
        for (uint64_t one : on_host[host]) hosts_[host] = mix(hosts_[host], one);
      }
      const size_t now = num_different(colors) + num_different(hosts_);
      if (now == before) break;
      before = now;
    }
    // The clip goes by way of the first rank.
    uint64_t key = units_.front().color;
    std::vector<uint64_t> colors;
    for (const Unit& unit : units_) colors.push_back(unit.color);
    std::ranges::sort(colors);
    for (uint64_t color : colors) key = mix(key, color);
    std::ranges::sort(hosts_);
    for (uint64_t color : hosts_) key = mix(key, color);
    return key;
  }

 private:
  void add(const Pipeline& pipeline) {
    Unit& unit = units_.emplace_back();
    unit.base = of_text(pipeline.schedule);
    const auto say = [&](int64_t word) { unit.base = mix(unit.base, static_cast<uint64_t>(word)); };
    say(pipeline.microbatch);
    say(pipeline.samples);
    std::map<std::string, int64_t> first_seat;
    std::map<int, int64_t> first_on_host;
    for (const Stage& stage : pipeline.stages) {
      say(stage.first);
      say(stage.last);
      say(stage.tensor_parallel);
      say(static_cast<int64_t>(stage.recompute));
      for (const std::string& name : stage.devices) {
        const Seat seat = seat_of(name);
        const auto index = static_cast<int64_t>(unit.seats.size());
        say(first_seat.emplace(name, index).first->second);
        say(first_on_host.emplace(seat.host, index).first->second);
        say(static_cast<int64_t>(seat.device));
        unit.seats.push_back(seat);
      }
    }
  }

  Seat seat_of(const std::string& name) {
    const DeviceInfo& device = world_.devices.at(name);
    const std::string host = host_name(device);
    const auto [entry, is_new] = numbers_.emplace(host, static_cast<int>(hosts_.size()));
    if (is_new) {
      uint64_t hash = of_text(device.site);
      if (apart_.contains(host)) hash = mix(hash, of_text(host));
      const auto group = world_.hosts.find(host);
      if (group != world_.hosts.end()) {
        hash = mix(hash, std::bit_cast<uint64_t>(group->second->network_bandwidth));
        hash = mix(hash, std::bit_cast<uint64_t>(group->second->network_latency));
      }
      hosts_.push_back(hash);
    }
    uint64_t hash = of_text(device.chip.name);
    hash = mix(hash, std::bit_cast<uint64_t>(device.pace));
    hash = mix(hash, static_cast<uint64_t>(device.memory_bytes));
    const auto share = owner_share_.find(name);
    hash = mix(hash, std::bit_cast<uint64_t>(share == owner_share_.end() ? 1.0 : share->second));
    const auto owned = owned_.find(name);
    if (owned != owned_.end()) hash = mix(hash, owned->second);
    if (apart_.contains(name)) hash = mix(hash, of_text(name));
    for (const DeviceMeasure& measure : world_.links.devices) {
      if (measure.device == name) hash = mix(hash, of_text(name));
    }
    return {entry->second, hash};
  }

  const std::map<std::string, double>& owner_share_;
  const StepWorld& world_;
  std::set<std::string> apart_;
  std::map<std::string, uint64_t> owned_;
  std::map<std::string, int> numbers_;
  std::vector<uint64_t> hosts_;  // colours
  std::vector<Unit> units_;
};

}  // namespace

uint64_t likeness_of(const Island& island, const std::map<std::string, double>& owner_share,
                     const std::vector<GroupLoad>* slabs, const StepWorld& world) {
  return Likeness(island, owner_share, slabs, world).key();
}

}  // namespace skarv
