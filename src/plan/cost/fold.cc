#include "plan/cost/fold.h"

#include <algorithm>
#include <bit>
#include <string_view>
#include <unordered_map>

namespace skarv {
namespace {

// Words that colours are made of; equal words, equal colour.
using Words = std::vector<int64_t>;

struct Unit {
  int pipeline = 0, member = -1;  // -1: all members
  std::vector<int> ranks;         // of its seats, stage by stage
  Words base;                     // all but the network
  int color = 0;
};

// Numbers words in the order of their values, so that names and orders of input do not count.
std::vector<int> number(const std::vector<Words>& words) {
  std::map<Words, int> known;
  for (const Words& one : words) known.emplace(one, 0);
  int next = 0;
  for (auto& [one, color] : known) color = next++;
  std::vector<int> colors;
  for (const Words& one : words) colors.push_back(known.at(one));
  return colors;
}

int num_colors(const std::vector<int>& colors) {
  return colors.empty() ? 0 : *std::ranges::max_element(colors) + 1;
}

class Folder {
 public:
  Folder(const Island& island, const DeviceIndex& devices, const HostIndex& hosts,
         const FoldRules& rules)
      : island_(island), whole_(rules.whole), apart_(rules.apart), names_(island.devices()) {
    std::map<std::string, int64_t> chips, sites;
    std::unordered_map<std::string, int> numbers;
    for (size_t rank = 0; rank < names_.size(); ++rank) {
      rank_of_[names_[rank]] = static_cast<int>(rank);
      const DeviceInfo& device = devices.at(names_[rank]);
      const std::string host = host_name(device);
      const auto [entry, is_new] = numbers.emplace(host, static_cast<int>(numbers.size()));
      host_of_.push_back(entry->second);
      if (is_new) {
        const auto site = sites.emplace(device.site, static_cast<int64_t>(sites.size())).first;
        const bool is_apart = rules.whole || rules.apart.contains(host);
        const auto group = hosts.find(host);
        const bool is_known = group != hosts.end();
        host_words_.push_back({site->second, is_apart ? 1 + entry->second : 0,
                               bits(is_known ? group->second->network_bandwidth : 0),
                               bits(is_known ? group->second->network_latency : 0)});
      }
      const auto share = rules.owner_share.find(device.name);
      const auto chip = chips.emplace(device.chip.name, static_cast<int64_t>(chips.size())).first;
      const bool is_apart = rules.whole || rules.apart.contains(device.name);
      device_words_.push_back({chip->second, bits(device.pace), device.memory_bytes,
                               bits(share == rules.owner_share.end() ? 1 : share->second),
                               is_apart ? 1 + static_cast<int64_t>(rank) : 0});
    }
    for (size_t p = 0; p < island.pipelines.size(); ++p) add_units(static_cast<int>(p));
  }

  Fold run() {
    refine();
    Fold fold;
    fold.island.name = island_.name;
    fold.folded_rank.assign(names_.size(), -1);
    std::map<int, int> pipeline_of_color;
    std::vector<std::vector<int>> seats_of;  // by folded pipeline, ranks of its first unit
    for (const Unit& unit : units_) {
      const auto [entry, is_new] =
          pipeline_of_color.emplace(unit.color, static_cast<int>(fold.multiplier.size()));
      if (is_new) {
        fold.multiplier.push_back(0);
        fold.island.pipelines.push_back(pipeline_of(unit));
        seats_of.push_back(unit.ranks);
        for (int rank : unit.ranks) {
          if (fold.folded_rank[rank] >= 0) continue;
          fold.folded_rank[rank] = fold.num_ranks();
          fold.full_rank.push_back(rank);
        }
      }
      ++fold.multiplier[entry->second];
      const std::vector<int>& first = seats_of[entry->second];
      for (size_t i = 0; i < first.size(); ++i) {
        fold.folded_rank[unit.ranks[i]] = fold.folded_rank[first[i]];
      }
    }
    std::map<std::pair<int, int>, int> count;  // host, folded rank
    for (size_t rank = 0; rank < names_.size(); ++rank) {
      ++count[{host_of_[rank], fold.folded_rank[rank]}];
    }
    for (int rank = 0; rank < fold.num_ranks(); ++rank) {
      const int host = host_of_[fold.full_rank[rank]];
      fold.on_host.push_back(count.at({host, rank}));
      fold.host_color.push_back(host_color_[host]);
    }
    return fold;
  }

 private:
  static int64_t bits(double value) { return std::bit_cast<int64_t>(value); }

  // One tensor parallelism throughout, and everybody at the same place wherever it sits.
  bool has_chains(const Pipeline& pipeline) const {
    const size_t degree = pipeline.stages.front().devices.size();
    if (whole_ || degree < 2) return false;
    std::map<std::string, size_t> member;
    for (const Stage& stage : pipeline.stages) {
      if (stage.devices.size() != degree) return false;
      for (size_t i = 0; i < degree; ++i) {
        // One that is slow holds its whole group up.
        if (apart_.contains(stage.devices[i])) return false;
        if (member.emplace(stage.devices[i], i).first->second != i) return false;
      }
    }
    return true;
  }

  void add_units(int index) {
    const Pipeline& pipeline = island_.pipelines[index];
    const bool chains = has_chains(pipeline);
    const size_t num_members = chains ? pipeline.stages.front().devices.size() : 1;
    for (size_t member = 0; member < num_members; ++member) {
      Unit unit{index, chains ? static_cast<int>(member) : -1, {}, {}, 0};
      const auto [rule, is_new] =
          rules_.emplace(pipeline.schedule, static_cast<int64_t>(rules_.size()));
      unit.base = {pipeline.microbatch, pipeline.samples, rule->second, chains ? 1 : 0};
      std::map<int, int64_t> first_seat;  // which seats are the same device
      for (const Stage& stage : pipeline.stages) {
        unit.base.insert(unit.base.end(), {stage.first, stage.last, stage.tensor_parallel,
                                           static_cast<int64_t>(stage.recompute),
                                           static_cast<int64_t>(stage.devices.size())});
        for (size_t i = 0; i < stage.devices.size(); ++i) {
          if (chains && i != member) continue;
          const int rank = rank_of_.at(stage.devices[i]);
          const auto seat = static_cast<int64_t>(unit.ranks.size());
          unit.base.push_back(first_seat.emplace(rank, seat).first->second);
          const Words& device = device_words_[rank];
          unit.base.insert(unit.base.end(), device.begin(), device.end());
          unit.ranks.push_back(rank);
        }
      }
      units_.push_back(std::move(unit));
    }
  }

  void refine() {
    host_color_ = number(host_words_);
    int before = 0;
    for (;;) {
      std::vector<Words> unit_words;
      for (const Unit& unit : units_) {
        Words& words = unit_words.emplace_back(unit.base);
        std::map<int, int64_t> first_seat;  // which seats share a host
        for (size_t i = 0; i < unit.ranks.size(); ++i) {
          const int host = host_of_[unit.ranks[i]];
          words.push_back(first_seat.emplace(host, i).first->second);
          words.push_back(host_color_[host]);
        }
      }
      const std::vector<int> unit_color = number(unit_words);
      std::vector<std::vector<std::pair<int, int>>> on_host(host_words_.size());
      for (size_t u = 0; u < units_.size(); ++u) {
        units_[u].color = unit_color[u];
        for (size_t i = 0; i < units_[u].ranks.size(); ++i) {
          on_host[host_of_[units_[u].ranks[i]]].emplace_back(unit_color[u], static_cast<int>(i));
        }
      }
      std::vector<Words> host_words;
      for (size_t host = 0; host < on_host.size(); ++host) {
        std::ranges::sort(on_host[host]);
        Words& words = host_words.emplace_back(Words{host_color_[host]});
        for (const auto& [color, seat] : on_host[host]) words.insert(words.end(), {color, seat});
      }
      host_color_ = number(host_words);
      const int now = num_colors(unit_color) + num_colors(host_color_);
      if (now == before) return;
      before = now;
    }
  }

  Pipeline pipeline_of(const Unit& unit) const {
    Pipeline pipeline = island_.pipelines[unit.pipeline];
    if (unit.member < 0) return pipeline;
    for (Stage& stage : pipeline.stages) stage.devices = {stage.devices[unit.member]};
    return pipeline;
  }

  const Island& island_;
  const bool whole_;
  const std::set<std::string>& apart_;
  const std::vector<std::string> names_;
  std::unordered_map<std::string_view, int> rank_of_;  // names are those of names_
  std::map<std::string, int64_t> rules_;
  std::vector<int> host_of_;  // by rank
  std::vector<Words> device_words_, host_words_;
  std::vector<int> host_color_;
  std::vector<Unit> units_;
};

}  // namespace

Fold fold_island(const Island& island, const DeviceIndex& devices, const HostIndex& hosts,
                 const FoldRules& rules) {
  return Folder(island, devices, hosts, rules).run();
}

}  // namespace skarv
