#include "plan/search/world.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <tuple>

#include "base/text.h"
#include "plan/memory/memory.h"

namespace skarv {
namespace {

// Everything that makes two hosts' devices different, names left out: what orders the pools too,
// so that a search does not depend on how things are called or listed.
using Signature = std::vector<int64_t>;

// A number for a word, the same on every machine.
int64_t number_of(const std::string& word) {
  uint64_t number = 1469598103934665603U;
  for (char letter : word) number = (number ^ static_cast<unsigned char>(letter)) * 1099511628211U;
  return static_cast<int64_t>(number >> 1);
}

int64_t whole(double value) { return std::llround(value * 1000); }

// Times of the chip at all sizes: two names for one chip are one chip.
Signature fingerprint(const Workload& workload, const std::string& chip,
                      const std::vector<int>& microbatches) {
  Signature print;
  std::set<int> kinds;
  for (int layer = 0; layer < workload.num_layers(); ++layer) {
    if (!kinds.insert(workload.kind(layer)).second) continue;
    for (int degree : workload.tensor_parallels(chip)) {
      print.push_back(degree);
      for (int size : microbatches) {
        const Result<LayerCost> cost = workload.cost(chip, layer, size, degree);
        if (!cost.ok()) continue;
        for (int64_t figure : {cost->forward_ns, cost->backward_input_ns, cost->backward_weight_ns,
                               cost->update_ns, cost->kept_bytes}) {
          print.push_back(figure);
        }
      }
    }
  }
  return print;
}

std::string host_name(const HostGroup& host, int number) {
  return host.count == 1 ? host.name : cat(host.name, number);
}

// Sizes known for some chip and within what is measured of all.
std::vector<int> common_microbatches(const Workload& workload, const std::set<std::string>& chips) {
  std::set<int> sizes;
  int largest = 1 << 30;
  for (const std::string& chip : chips) {
    const std::vector<int> degrees = workload.tensor_parallels(chip);
    if (degrees.empty()) continue;
    const int block = workload.kind(workload.num_layers() / 2);
    const std::vector<int> known = workload.microbatches(chip, block, degrees.front());
    if (known.empty()) continue;
    sizes.insert(known.begin(), known.end());
    largest = std::min(largest, known.back());
  }
  std::vector<int> result;
  for (int size : sizes) {
    if (size <= largest) result.push_back(size);
  }
  return result;
}

class Folder {
 public:
  Folder(const Workload& workload, const Profile& profile, const std::vector<int>& microbatches)
      : workload_(workload), microbatches_(microbatches) {
    for (const DeviceMeasure& measure : profile.devices) measures_[measure.device] = &measure;
    for (const LinkMeasure& link : profile.links) {
      for (const std::string& end : {link.from, link.to}) measured_ends_.insert(end);
    }
  }

  Status add(const Site& site, int site_index) {
    for (const HostGroup& host : site.hosts) {
      for (int number = 0; number < host.count; ++number) {
        SKARV_TRY(add_host(site, site_index, host, host_name(host, number)));
      }
    }
    return {};
  }

  // In an order that names do not decide, unless all else is equal.
  std::vector<Pool> take() {
    std::vector<Pool> pools;
    std::map<Signature, int> likenesses;
    for (auto& [key, pool] : pools_) {
      const Signature& figures = std::get<0>(key);
      const Signature without_site(figures.begin() + 1, figures.end());
      pool.likeness =
          likenesses.emplace(without_site, static_cast<int>(likenesses.size())).first->second;
      pools.push_back(std::move(pool));
    }
    return pools;
  }

 private:
  struct Member {
    Signature key;
    std::string chip;
    Pool pool;  // of this device alone
    std::string name;
  };

  Status add_host(const Site& site, int site_index, const HostGroup& host,
                  const std::string& name) {
    const std::string full = site.name + "/" + name;
    std::vector<Member> members;
    int index = 0;
    for (const DeviceGroup& group : host.devices) {
      SKARV_ASSIGN(const Chip chip, find_chip(group.chip));
      for (int i = 0; i < group.count; ++i, ++index) {
        members.push_back(member_of(chip, group, cat(full, "/", index)));
      }
    }
    std::map<std::pair<Signature, std::string>, std::vector<const Member*>> groups;
    Signature composition;
    for (const Member& member : members) {
      groups[{member.key, member.chip}].push_back(&member);
    }
    for (const auto& [key, list] : groups) {
      composition.push_back(static_cast<int64_t>(list.size()));
      composition.insert(composition.end(), key.first.begin(), key.first.end());
    }
    composition.push_back(whole(host.network_bandwidth));
    composition.push_back(whole(host.network_latency * 1e9));
    composition.push_back(host.memory_bytes);
    for (const auto& [key, list] : groups) {
      Signature sort_key = {site_index};
      sort_key.insert(sort_key.end(), key.first.begin(), key.first.end());
      sort_key.push_back(static_cast<int64_t>(list.size()));
      sort_key.insert(sort_key.end(), composition.begin(), composition.end());
      // Two equal chips of different names on one host cannot form one group.
      const std::string own = measured_ends_.contains(full) ? full : "";
      const std::string twin = groups.size() > 1 ? key.second : "";
      Pool& pool = pools_[{sort_key, own, twin}];
      if (pool.hosts.empty()) {
        pool = list.front()->pool;
        pool.site = site_index;
        pool.per_host = static_cast<int>(list.size());
        pool.host_memory = host.memory_bytes;
        pool.devices_on_host = static_cast<int>(members.size());
      }
      std::vector<std::string>& names = pool.hosts.emplace_back();
      for (const Member* member : list) names.push_back(member->name);
      pool.host_names.push_back(full);
    }
    return {};
  }

  Member member_of(const Chip& chip, const DeviceGroup& group, const std::string& name) {
    Pool pool;
    pool.chip = chip;
    pool.pace = group.pace > 0 ? group.pace : 1;
    pool.memory =
        group.memory_bytes > 0 ? group.memory_bytes : static_cast<int64_t>(chip.memory_bytes.value);
    if (const auto measure = measures_.find(name); measure != measures_.end()) {
      pool.base = static_cast<int64_t>(measure->second->base_bytes);
      const auto usable = static_cast<int64_t>(measure->second->usable_bytes);
      if (usable > 0) pool.memory = std::min(pool.memory, usable);
    }
    if (chip.maker != "cpu" && chip.maker != "toy") {
      pool.memory -= std::llround(kReserve * static_cast<double>(pool.memory));
    }
    auto print = prints_.find(chip.name);
    if (print == prints_.end()) {
      print = prints_.emplace(chip.name, fingerprint(workload_, chip.name, microbatches_)).first;
    }
    Signature key = print->second;
    for (int64_t figure : {whole(pool.pace), pool.memory, pool.base,
                           whole(chip.link_bandwidth.value), number_of(chip.maker)}) {
      key.push_back(figure);
    }
    if (measured_ends_.contains(name)) {
      key.push_back(number_of(name));
    }
    return {key, chip.name, pool, name};
  }

  const Workload& workload_;
  const std::vector<int>& microbatches_;
  std::map<std::string, const DeviceMeasure*> measures_;
  std::set<std::string> measured_ends_;
  std::map<std::string, Signature> prints_;
  std::map<std::tuple<Signature, std::string, std::string>, Pool> pools_;
};

DeviceInfo info_of(const Pool& pool, const WorldSite& site, int host, int device) {
  DeviceInfo info;
  info.name = pool.hosts[host][device];
  info.site = site.name;
  info.host = pool.host_names[host].substr(site.name.size() + 1);
  info.chip = pool.chip;
  return info;
}

}  // namespace

Result<World> World::create(const Workload& workload, const Cluster& cluster,
                            const Profile& profile, Precision precision, int64_t tied_parameters,
                            const PlannerLimits& limits) {
  World world(workload, limits);
  world.weight_bytes_ = precision == Precision::kFp32 ? 4 : 2;
  world.tied_parameters_ = tied_parameters;
  world.parameters_.assign(1, 0);
  for (int layer = 0; layer < workload.num_layers(); ++layer) {
    world.parameters_.push_back(world.parameters_.back() + workload.size(layer).parameters);
  }
  SKARV_TRY(world.fold(cluster, profile));
  SKARV_TRY(world.add_degrees());
  if (!limits.island_may_span_hosts) world.keep_fastest_hosts();
  world.add_links(cluster, profile);
  return world;
}

Status World::fold(const Cluster& cluster, const Profile& profile) {
  std::set<std::string> chips;
  for (const Site& site : cluster.sites) {
    for (const HostGroup& host : site.hosts) {
      for (const DeviceGroup& group : host.devices) chips.insert(group.chip);
    }
  }
  microbatches_ = common_microbatches(*workload_, chips);
  Folder folder(*workload_, profile, microbatches_);
  for (const Site& site : cluster.sites) {
    SKARV_TRY(folder.add(site, static_cast<int>(sites_.size())));
    sites_.push_back({site.name, {}, 0});
  }
  pools_ = folder.take();
  for (size_t i = 0; i < pools_.size(); ++i) {
    sites_[pools_[i].site].pools.push_back(static_cast<int>(i));
    sites_[pools_[i].site].num_devices += pools_[i].num_devices();
  }
  if (!pools_.empty()) return {};
  return config_error("the cluster has no devices").with_hint("add devices to its hosts");
}

Status World::add_degrees() {
  for (const Pool& pool : pools_) {
    std::vector<int>& degrees = tensor_parallels_.emplace_back();
    for (int degree : workload_->tensor_parallels(pool.chip.name)) {
      if (degree <= pool.per_host && degree <= limits_.max_tensor_parallel) {
        degrees.push_back(degree);
      }
    }
    if (!degrees.empty()) continue;
    for (int layer = 0; layer < num_layers(); ++layer) {
      SKARV_TRY(workload_->cost(pool.chip.name, layer, 1, 1).status());
    }
    return Status(Code::kNotFound, Scope::kConfig,
                  cat("the profile has no times of ", pool.chip.name, " for all layers"))
        .with_hint("measure it with `skarv probe`");
  }
  if (!microbatches_.empty()) return {};
  return Status(Code::kNotFound, Scope::kConfig,
                "the profile has no microbatch size that all chips share")
      .with_hint("measure them together with `skarv probe`");
}

// Of every site the host whose devices are fastest together: an island has one host then.
void World::keep_fastest_hosts() {
  for (const WorldSite& site : sites_) {
    std::map<std::string, double> speeds;
    for (int pool : site.pools) {
      const double speed =
          ideal_speed(*this, pool) / static_cast<double>(pools_[pool].hosts.size());
      for (const std::string& host : pools_[pool].host_names) speeds[host] += speed;
    }
    std::string fastest;
    for (const auto& [host, speed] : speeds) {
      if (fastest.empty() || speed > speeds[fastest]) fastest = host;
    }
    for (int pool : site.pools) {
      std::vector<std::string>& names = pools_[pool].host_names;
      const auto at = std::ranges::find(names, fastest) - names.begin();
      if (at == std::ssize(names)) {
        pools_[pool].num_barred = std::ssize(names);
        continue;
      }
      std::swap(names.front(), names[at]);
      std::swap(pools_[pool].hosts.front(), pools_[pool].hosts[at]);
      pools_[pool].num_barred = std::ssize(names) - 1;
    }
  }
}

void World::add_links(const Cluster& cluster, const Profile& profile) {
  const size_t n = pools_.size();
  inside_.resize(n * n);
  between_.resize(n * n);
  const auto cost = [&](const DeviceInfo& a, const DeviceInfo& b) {
    const Result<LinkCost> link = link_cost(a, b, cluster, profile);
    return link.ok() ? *link : LinkCost();
  };
  for (size_t a = 0; a < n; ++a) {
    for (size_t b = 0; b < n; ++b) {
      const Pool &one = pools_[a], &other = pools_[b];
      const DeviceInfo first = info_of(one, sites_[one.site], 0, 0);
      if (one.site == other.site && one.host_names[0] == other.host_names[0]) {
        const int device = a == b ? other.per_host - 1 : 0;
        if (a != b || device > 0) {
          inside_[a * n + b] = cost(first, info_of(other, sites_[other.site], 0, device));
        }
      }
      for (size_t host = 0; host < other.hosts.size(); ++host) {
        if (other.host_names[host] == one.host_names[0]) continue;
        between_[a * n + b] =
            cost(first, info_of(other, sites_[other.site], static_cast<int>(host), 0));
        break;
      }
    }
  }
}

void World::lower_memory(const std::string& device, int64_t bytes) {
  const std::string host = host_of(device);
  for (Pool& pool : pools_) {
    const auto at = std::ranges::find(pool.host_names, host) - pool.host_names.begin();
    if (at == std::ssize(pool.host_names)) continue;
    if (std::ranges::find(pool.hosts[at], device) == pool.hosts[at].end()) continue;
    const int likeness = pool.likeness;
    for (Pool& other : pools_) {
      if (other.likeness == likeness) other.memory -= bytes;
    }
    return;
  }
}

int64_t World::num_devices() const {
  int64_t count = 0;
  for (const Pool& pool : pools_) count += pool.num_devices();
  return count;
}

World World::restricted_to(const std::string& chip) const {
  World world = *this;
  for (Pool& pool : world.pools_) {
    if (pool.chip.name == chip) continue;
    world.sites_[pool.site].num_devices -= pool.num_devices();
    pool.num_barred = std::ssize(pool.hosts);
  }
  return world;
}

World World::lessened(double memory, double bandwidth) const {
  World world = *this;
  for (Pool& pool : world.pools_) {
    pool.memory = static_cast<int64_t>(memory * static_cast<double>(pool.memory));
  }
  for (LinkCost& link : world.between_) link.bandwidth *= bandwidth;
  return world;
}

World World::with_idle(int pool, int count) const {
  World world = *this;
  world.pools_[pool].num_idle += count;
  return world;
}

void World::forget_memory() {
  for (Pool& pool : pools_) {
    pool.memory = INT64_MAX / 4;
    pool.host_memory = 0;
  }
}

const CostTable& World::table(int pool, int microbatch, int tensor_parallel) const {
  tables_.resize(pools_.size());
  std::vector<std::shared_ptr<CostTable>>& known = tables_[pool];
  const size_t index = static_cast<size_t>(microbatch) * (pools_[pool].per_host + 1) +
                       static_cast<size_t>(tensor_parallel);
  if (index >= known.size()) known.resize(index + 1);
  std::shared_ptr<CostTable>& slot = known[index];
  if (slot != nullptr) return *slot;
  slot = std::make_shared<CostTable>();
  const Pool& devices = pools_[pool];
  const auto paced = [&](int64_t ns) {
    return devices.pace == 1 ? ns : std::llround(static_cast<double>(ns) / devices.pace);
  };
  for (auto* sums : {&slot->forward, &slot->backward_input, &slot->backward_weight, &slot->update,
                     &slot->kept, &slot->kept_again}) {
    sums->assign(1, 0);
  }
  for (int layer = 0; layer < num_layers(); ++layer) {
    const Result<LayerCost> cost =
        workload_->cost(devices.chip.name, layer, microbatch, tensor_parallel);
    const LayerCost known = cost.ok() ? *cost : LayerCost();
    slot->forward.push_back(slot->forward.back() + paced(known.forward_ns));
    slot->backward_input.push_back(slot->backward_input.back() + paced(known.backward_input_ns));
    slot->backward_weight.push_back(slot->backward_weight.back() + paced(known.backward_weight_ns));
    slot->update.push_back(slot->update.back() + paced(known.update_ns));
    slot->kept.push_back(slot->kept.back() + known.kept_bytes);
    // Only what lies between the embedding and the head is computed again (plan/memory).
    const bool again = layer > 0 && layer + 1 < num_layers();
    const int64_t output = workload_->size(layer).output_bytes * microbatch;
    slot->kept_again.push_back(slot->kept_again.back() + (again ? output : known.kept_bytes));
    slot->layer_kept.push_back(known.kept_bytes);
    slot->transient.push_back(known.transient_bytes);
  }
  return *slot;
}

double ideal_speed(const World& world, int pool) {
  const int degree = world.tensor_parallels(pool).front();
  double best = 0;
  for (int microbatch : world.microbatches()) {
    const CostTable& table = world.table(pool, microbatch, degree);
    const int64_t work =
        table.forward.back() + table.backward_input.back() + table.backward_weight.back();
    best = std::max(best, microbatch / static_cast<double>(std::max<int64_t>(1, work)));
  }
  return best * world.pool(pool).num_devices() / degree;
}

}  // namespace skarv
