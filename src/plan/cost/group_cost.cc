#include "plan/cost/group_cost.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <string_view>
#include <unordered_map>

#include "plan/cost/collective.h"
#include "plan/cost/link_cost.h"
#include "spec/traffic.h"

namespace skarv {
namespace {

constexpr int64_t kGradientBytes = 4;  // summed in fp32

constexpr size_t kFewMembers = 16;  // up to here every pair is looked at, if pairs were measured

// Members that differ in where they are and what they are; two of each, so that a class has links
// to itself. A thousand replicas are a handful of these.
using Kind = std::tuple<std::string, std::string, const HostGroup*>;

class Groups {
 public:
  explicit Groups(const GroupQuery& query) : query_(query) {
    for (const std::string& name : query.island.devices()) {
      infos_.push_back(&query.devices.at(name));
      hosts_.push_back(host_name(*infos_.back()));
    }
    degree_.assign(infos_.size(), 1);
    std::unordered_map<std::string_view, int> rank_of;
    for (size_t i = 0; i < infos_.size(); ++i) rank_of[infos_[i]->name] = static_cast<int>(i);
    for (const Pipeline& pipeline : query.island.pipelines) {
      for (const Stage& stage : pipeline.stages) {
        for (const std::string& device : stage.devices) {
          degree_[rank_of.at(device)] = stage.tensor_parallel;
        }
      }
    }
    // Ranks of a host whose groups leave it: they use its NICs at the same time.
    std::vector<bool> leaves(infos_.size(), false);
    for (const GroupLoad& group : query.loads) {
      const bool spans = std::ranges::any_of(
          group.members, [&](int rank) { return hosts_[rank] != hosts_[group.members[0]]; });
      for (int rank : group.members) leaves[rank] = leaves[rank] || spans;
    }
    for (size_t rank = 0; rank < infos_.size(); ++rank) num_leaving_[hosts_[rank]] += leaves[rank];
  }

  Result<GroupTimes> times(const GroupLoad& group) {
    if (group.members.size() == 1) return GroupTimes{};
    std::map<int, int64_t> owned = group.owned_by_rank();
    if (owned.empty()) return GroupTimes{};
    const auto largest =
        std::ranges::max_element(owned, {}, [](const auto& a) { return a.second; });
    const DeviceInfo& first = *infos_[group.members[0]];
    const bool together = std::ranges::all_of(group.members, [&](int rank) {
      return infos_[rank]->chip.maker == first.chip.maker && infos_[rank]->site == first.site;
    });
    return together ? by_library(group.members, largest->second)
                    : directly(group.members, owned, group.num_elements);
  }

  Result<LinkCost> link(int a, int b) const {
    return link_cost(*infos_[a], *infos_[b], query_.cluster, query_.links);
  }

 private:
  std::vector<int> representatives(const std::vector<int>& members) const {
    if (members.size() <= kFewMembers && !query_.links.links.empty()) return members;
    std::map<Kind, std::vector<int>> kinds;
    for (int rank : members) {
      const auto host = query_.hosts.find(hosts_[rank]);
      const Kind kind{infos_[rank]->site, infos_[rank]->chip.name,
                      host == query_.hosts.end() ? nullptr : host->second};
      std::vector<int>& ranks = kinds[kind];
      const bool is_second = ranks.size() == 1 && hosts_[rank] != hosts_[ranks[0]];
      if (ranks.empty() || is_second) ranks.push_back(rank);
    }
    std::vector<int> result;
    for (const auto& [kind, ranks] : kinds) {
      result.insert(result.end(), ranks.begin(), ranks.end());
    }
    return result;
  }

  static void keep_slower(LinkCost& slowest, const LinkCost& link) {
    const int64_t latency = std::max(slowest.latency_ns, link.latency_ns);
    if (slowest.bandwidth == 0 || link.bandwidth < slowest.bandwidth) slowest = link;
    slowest.latency_ns = latency;
  }

  // Tensor-parallel shards are groups of their own, side by side.
  Result<GroupTimes> by_library(const std::vector<int>& members, int64_t most_owned) {
    int degree = degree_[members[0]];
    for (int rank : members) degree = std::min(degree, degree_[rank]);
    std::map<std::string, int> on_host;
    for (int rank : members) ++on_host[hosts_[rank]];
    GroupShape shape;
    int on_one = 0;
    for (const auto& [host, count] : on_host) {
      on_one = std::max(on_one, count);
      const int per_group = std::max(1, count / degree);
      shape.num_sharing = std::max(shape.num_sharing, num_leaving_[host] / per_group);
    }
    shape.num_devices = std::max<int>(1, static_cast<int>(members.size()) / degree);
    shape.devices_per_host = std::max(1, on_one / degree);
    const std::vector<int> few = representatives(members);
    for (int a : few) {
      for (int b : members) {
        if (b == a || hosts_[a] != hosts_[b]) continue;
        SKARV_ASSIGN(const LinkCost inside, link(a, b));
        keep_slower(shape.inside, inside);
        break;
      }
      for (int b : few) {
        if (hosts_[a] == hosts_[b]) continue;
        SKARV_ASSIGN(const LinkCost between, link(a, b));
        keep_slower(shape.between, between);
      }
    }
    if (on_host.size() == 1) shape.num_sharing = 1;
    const int64_t elements = most_owned * static_cast<int64_t>(members.size()) / degree;
    const int64_t weight = element_bytes(query_.precision);
    const auto moved = [&](int64_t bytes) { return bytes - bytes / shape.num_devices; };
    return GroupTimes{collective_ns(Collective::kReduceScatter, kGradientBytes * elements, shape),
                      collective_ns(Collective::kAllGather, weight * elements, shape),
                      moved(kGradientBytes * elements), moved(weight * elements)};
  }

  Result<GroupTimes> directly(const std::vector<int>& members, std::map<int, int64_t>& owned,
                              int64_t total) {
    GroupTimes times;
    const std::vector<int> few = representatives(members);
    const auto num_others = static_cast<int64_t>(members.size()) - 1;
    const int64_t weight = element_bytes(query_.precision);
    std::map<std::pair<Kind, bool>, LinkCost> slowest_of;
    for (int rank : members) {
      const auto host = query_.hosts.find(hosts_[rank]);
      const Kind kind{infos_[rank]->site, infos_[rank]->chip.name,
                      host == query_.hosts.end() ? nullptr : host->second};
      const bool is_few = std::ranges::find(few, rank) != few.end();
      const auto [entry, is_new] = slowest_of.emplace(std::pair(kind, is_few), LinkCost{});
      // Those who stand for nobody else are looked at one by one.
      if (is_new || is_few) {
        LinkCost slowest;
        for (int other : few) {
          if (other == rank) continue;
          SKARV_ASSIGN(const LinkCost one, link(rank, other));
          keep_slower(slowest, one);
        }
        entry->second = slowest;
      }
      const LinkCost& slowest = entry->second;
      const auto mine = owned.find(rank);
      const int64_t own = mine == owned.end() ? 0 : mine->second;
      const int64_t reduce = kGradientBytes * std::max(total - own, own * num_others);
      const int64_t gather = weight * std::max(own * num_others, total - own);
      times.reduce_bytes = std::max(times.reduce_bytes, reduce);
      times.gather_bytes = std::max(times.gather_bytes, gather);
      times.reduce_ns = std::max(times.reduce_ns, slowest.latency_ns + slowest.transfer_ns(reduce));
      times.gather_ns = std::max(times.gather_ns, slowest.latency_ns + slowest.transfer_ns(gather));
    }
    return times;
  }

  const GroupQuery& query_;
  std::vector<const DeviceInfo*> infos_;
  std::vector<std::string> hosts_;
  std::vector<int> degree_;
  std::map<std::string, int> num_leaving_;
};

}  // namespace

Result<std::vector<GroupTimes>> group_times(const GroupQuery& query) {
  Groups groups(query);
  std::vector<GroupTimes> result;
  for (const GroupLoad& group : query.loads) {
    SKARV_ASSIGN(const GroupTimes times, groups.times(group));
    result.push_back(times);
  }
  return result;
}

Result<int64_t> clip_time(const GroupQuery& query, const std::vector<int>& ranks) {
  const std::vector<std::string> names = query.island.devices();
  const DeviceInfo& first = query.devices.at(names[0]);
  int64_t longest = 0;
  for (int rank : ranks) {
    if (rank == 0) continue;
    SKARV_ASSIGN(const LinkCost link,
                 link_cost(query.devices.at(names[rank]), first, query.cluster, query.links));
    longest = std::max(longest, 2 * link.latency_ns);
  }
  return longest;
}

}  // namespace skarv
