#include "plan/search/mend.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/text.h"
#include "plan/search/edits.h"

namespace skarv {
namespace {

class Mender {
 public:
  Mender(const Plan& running, const DeviceIndex& devices) : plan_(running), devices_(devices) {
    std::set<std::string> taken;
    for (size_t i = 0; i < plan_.islands.size(); ++i) {
      for (size_t p = 0; p < plan_.islands[i].pipelines.size(); ++p) {
        const Pipeline& pipeline = plan_.islands[i].pipelines[p];
        if (!is_whole(pipeline)) broken_.emplace_back(i, p);
        for (const Stage& stage : pipeline.stages) {
          taken.insert(stage.devices.begin(), stage.devices.end());
        }
      }
    }
    for (const auto& [name, device] : devices) {
      if (!taken.contains(name)) free_[host_name(device)].insert(name);
    }
  }

  std::optional<Plan> run() {
    while (!broken_.empty()) {
      if (std::erase_if(broken_, [&](const Place& place) { return mend(at(place)); }) > 0) continue;
      give_up(broken_.back());
      broken_.pop_back();
    }
    if (!share_samples()) return std::nullopt;
    list_idle();
    return std::move(plan_);
  }

 private:
  using Place = std::pair<size_t, size_t>;  // island, pipeline

  Pipeline& at(const Place& place) { return plan_.islands[place.first].pipelines[place.second]; }

  bool is_there(const std::string& device) const { return devices_.contains(device); }
  bool is_whole(const Pipeline& pipeline) const {
    return std::ranges::all_of(pipeline.stages, [&](const Stage& stage) {
      return std::ranges::all_of(stage.devices, [&](const auto& name) { return is_there(name); });
    });
  }

  // Of a stage that lost all its devices it is that of the same stage elsewhere. Empty: not known.
  std::string chip_of(const Pipeline& pipeline, size_t s) const {
    const auto of = [&](const Stage& stage) -> std::string {
      for (const std::string& name : stage.devices) {
        if (is_there(name)) return devices_.at(name).chip.name;
      }
      return "";
    };
    if (const std::string chip = of(pipeline.stages[s]); !chip.empty()) return chip;
    for (const Island& island : plan_.islands) {
      for (const Pipeline& other : island.pipelines) {
        if (!has_same_cut(pipeline, other)) continue;
        if (site_of(other.stages[s].devices[0]) != site_of(pipeline.stages[s].devices[0])) continue;
        if (const std::string chip = of(other.stages[s]); !chip.empty()) return chip;
      }
    }
    return "";
  }

  // As many free devices of the chip on one host of the site; none: there is no such host.
  std::vector<std::string> find(const std::string& site, const std::string& chip,
                                size_t count) const {
    for (const auto& [host, names] : free_) {
      if (site_of(host) != site) continue;
      std::vector<std::string> found;
      for (const std::string& name : names) {
        if (found.size() < count && devices_.at(name).chip.name == chip) found.push_back(name);
      }
      if (found.size() == count) return found;
    }
    return {};
  }

  void set_free(const std::vector<std::string>& names) {
    for (const std::string& name : names) {
      if (is_there(name)) free_[host_name(devices_.at(name))].insert(name);
    }
  }

  // All its groups find others, or nothing changes.
  bool mend(Pipeline& pipeline) {
    std::map<std::vector<std::string>, std::vector<std::string>> instead;
    for (size_t s = 0; s < pipeline.stages.size(); ++s) {
      const std::vector<std::string>& group = pipeline.stages[s].devices;
      if (instead.contains(group) ||
          std::ranges::all_of(group, [&](const auto& name) { return is_there(name); })) {
        continue;
      }
      std::vector<std::string> found =
          find(site_of(group.front()), chip_of(pipeline, s), group.size());
      if (found.empty()) {
        for (const auto& [lost, taken] : instead) set_free(taken);
        return false;
      }
      for (const std::string& name : found) free_[host_name(devices_.at(name))].erase(name);
      instead.emplace(group, std::move(found));
    }
    for (Stage& stage : pipeline.stages) {
      const auto found = instead.find(stage.devices);
      if (found != instead.end()) stage.devices = found->second;
    }
    for (const auto& [lost, taken] : instead) {
      set_free(lost);
      for (size_t i = 0; i < lost.size(); ++i) take_share(lost[i], taken[i]);
    }
    return true;
  }

  void take_share(const std::string& lost, const std::string& taken) {
    const auto share = plan_.owner_share.find(lost);
    if (share == plan_.owner_share.end()) return;
    const double mine = share->second;
    plan_.owner_share.erase(share);
    plan_.owner_share[taken] = mine;
  }

  void give_up(const Place& place) {
    for (const Stage& stage : at(place).stages) {
      set_free(stage.devices);
      for (const std::string& name : stage.devices) plan_.owner_share.erase(name);
    }
    given_up_.insert(place);
  }

  // Those of pipelines that were given up go to the others of the island, or of all islands where
  // none is left. False: there are no others.
  bool share_samples() {
    int64_t homeless = 0;
    for (size_t i = 0; i < plan_.islands.size(); ++i) {
      std::vector<Pipeline> left;
      int64_t lost = 0;
      for (size_t p = 0; p < plan_.islands[i].pipelines.size(); ++p) {
        Pipeline& pipeline = plan_.islands[i].pipelines[p];
        if (given_up_.contains({i, p})) {
          lost += pipeline.samples;
        } else {
          left.push_back(std::move(pipeline));
        }
      }
      plan_.islands[i].pipelines = std::move(left);
      std::vector<Pipeline*> takers;
      for (Pipeline& pipeline : plan_.islands[i].pipelines) takers.push_back(&pipeline);
      if (takers.empty()) homeless += lost;
      add_samples(lost, takers);
    }
    std::erase_if(plan_.islands, [](const Island& island) { return island.pipelines.empty(); });
    std::vector<Pipeline*> all;
    for (Island& island : plan_.islands) {
      for (Pipeline& pipeline : island.pipelines) all.push_back(&pipeline);
    }
    add_samples(homeless, all);
    return !all.empty();
  }

  static void add_samples(int64_t samples, const std::vector<Pipeline*>& takers) {
    int64_t weight = 0;
    for (const Pipeline* taker : takers) weight += taker->samples;
    for (Pipeline* taker : takers) {
      const int64_t mine = samples * taker->samples / weight;
      weight -= taker->samples;
      samples -= mine;
      taker->samples += mine;
    }
  }

  void list_idle() {
    std::set<std::string> reasons;
    for (const IdleDevice& idle : plan_.idle) reasons.insert(idle.device);
    std::erase_if(plan_.idle, [&](const IdleDevice& idle) {
      return !is_there(idle.device) ||
             !free_[host_name(devices_.at(idle.device))].contains(idle.device);
    });
    for (const auto& [host, names] : free_) {
      for (const std::string& name : names) {
        if (reasons.contains(name)) continue;
        plan_.idle.push_back({name, "its pipeline lost a device"});
      }
    }
  }

  Plan plan_;
  const DeviceIndex& devices_;
  std::vector<Place> broken_;
  std::set<Place> given_up_;
  std::map<std::string, std::set<std::string>> free_;  // by host
};

}  // namespace

std::optional<Plan> mended(const Plan& running, const DeviceIndex& devices) {
  return Mender(running, devices).run();
}

}  // namespace skarv
