#include "plan/search/exhaustive.h"

#include <algorithm>
#include <map>

#include "base/random.h"
#include "base/text.h"
#include "spec/nominal.h"

namespace skarv {
namespace {

constexpr double kNever = 1e30;
constexpr size_t kKept = 10;
constexpr double kBetweenHosts = 12.5e9, kInHost = 300e9;  // bytes/s

// One device with its own times: row[microbatch - 1][layer], seconds.
struct Device {
  DeviceInfo info;
  std::vector<std::vector<LayerTime>> times;
};

// Stages in order, one device each.
struct Chain {
  std::vector<int> devices;
  std::vector<int> cuts;  // first layers, and the end
  int microbatch = 1;
  std::vector<bool> recompute;
};

class Opponent {
 public:
  explicit Opponent(const SmallCase& small) : run_(small.run), small_(small) {
    num_layers_ = run_.model.num_layers();
    const std::vector<DeviceInfo> infos = expand_devices(small.cluster).value();
    for (const DeviceInfo& info : infos) {
      Device device{info, {}};
      for (int size = 1; size <= 2; ++size) {
        std::vector<LayerTime>& row = device.times.emplace_back();
        for (int layer = 0; layer < num_layers_; ++layer) {
          row.push_back(
              layer_time(small.profile, info.chip.name, kind_of_layer(run_.model, layer), size, 1)
                  .value());
        }
      }
      devices_.push_back(device);
    }
  }

  Exhausted run() {
    // Every division of the sites into islands, every sharing of the batch.
    std::map<std::string, std::vector<int>> sites;
    for (size_t d = 0; d < devices_.size(); ++d) {
      sites[devices_[d].info.site].push_back(static_cast<int>(d));
    }
    std::vector<int> all;
    std::vector<std::vector<int>> parts;
    for (const auto& [name, members] : sites) {
      parts.push_back(members);
      all.insert(all.end(), members.begin(), members.end());
    }
    const int64_t batch = run_.global_batch;
    offer({best_of(all)[batch]});
    if (parts.size() == 2) {
      const std::vector<Island>&first = best_of(parts[0]), &second = best_of(parts[1]);
      offer({first[batch]});
      offer({second[batch]});
      for (int64_t b = 1; b < batch; ++b) offer({first[b], second[batch - b]});
    }
    return std::move(result_);
  }

 private:
  // A set of pipelines with their samples.
  struct Island {
    double seconds = kNever;
    std::vector<Chain> chains;
    std::vector<int64_t> samples;
  };

  void offer(const std::vector<Island>& islands) {
    double slowest = 0;
    for (const Island& island : islands) slowest = std::max(slowest, island.seconds);
    if (slowest >= kNever) return;
    Plan plan;
    plan.model = digest_of(run_.model);
    for (const Island& island : islands) {
      skarv::Island& out = plan.islands.emplace_back();
      out.name = cat("i", plan.islands.size());
      for (size_t p = 0; p < island.chains.size(); ++p) {
        const Chain& chain = island.chains[p];
        Pipeline& pipeline = out.pipelines.emplace_back();
        pipeline.microbatch = chain.microbatch;
        pipeline.samples = island.samples[p];
        for (size_t s = 0; s < chain.devices.size(); ++s) {
          const std::string& name = devices_[chain.devices[s]].info.name;
          pipeline.stages.push_back({chain.cuts[s],
                                     chain.cuts[s + 1],
                                     {name},
                                     1,
                                     chain.recompute[s] ? Recompute::kFull : Recompute::kNone});
        }
      }
    }
    const auto place = std::ranges::upper_bound(result_.plans, slowest, {},
                                                [](const auto& known) { return known.first; });
    result_.plans.insert(place, {slowest, std::move(plan)});
    if (result_.plans.size() > kKept) result_.plans.pop_back();
  }

  // By samples (0 unused): the best island on some or all of these devices.
  const std::vector<Island>& best_of(const std::vector<int>& members) {
    std::vector<Island>& best = known_[members];
    if (!best.empty()) return best;
    best.resize(run_.global_batch + 1);
    chains_.clear();
    std::vector<int> chain;
    std::vector<bool> used(devices_.size(), false);
    list_chains(members, chain, used);
    std::vector<const Timed*> chosen;
    list_sets(members, 0, chosen, best);
    return best;
  }

  // The best cut and microbatch for every number of samples.
  struct Timed {
    std::vector<int> devices;
    std::vector<double> seconds;  // by samples - 1
    std::vector<Chain> chain;
  };

  void list_chains(const std::vector<int>& members, std::vector<int>& chain,
                   std::vector<bool>& used) {
    if (!chain.empty()) chains_.push_back(time(chain));
    if (static_cast<int>(chain.size()) == num_layers_) return;
    for (int device : members) {
      if (used[device]) continue;
      used[device] = true;
      chain.push_back(device);
      list_chains(members, chain, used);
      chain.pop_back();
      used[device] = false;
    }
  }

  Timed time(const std::vector<int>& devices) const {
    Timed timed{devices, {}, {}};
    const int64_t batch = run_.global_batch;
    timed.seconds.assign(batch, kNever);
    timed.chain.resize(batch);
    std::vector<int> cuts = {0};
    try_cuts(devices, cuts, timed);
    return timed;
  }

  void try_cuts(const std::vector<int>& devices, std::vector<int>& cuts, Timed& timed) const {
    const size_t stage = cuts.size() - 1;
    if (stage + 1 == devices.size()) {
      cuts.push_back(num_layers_);
      for (int size = 1; size <= 2; ++size) {
        for (int64_t samples = 1; samples <= run_.global_batch; ++samples) {
          Chain chain{devices, cuts, static_cast<int>(std::min<int64_t>(size, samples)), {}};
          const double seconds = time_of(chain, samples);
          if (seconds >= timed.seconds[samples - 1]) continue;
          timed.seconds[samples - 1] = seconds;
          timed.chain[samples - 1] = chain;
        }
      }
      cuts.pop_back();
      return;
    }
    const int left = static_cast<int>(devices.size() - stage) - 1;
    for (int next = cuts.back() + 1; next + left <= num_layers_; ++next) {
      cuts.push_back(next);
      try_cuts(devices, cuts, timed);
      cuts.pop_back();
    }
  }

  // 1F1B, replayed action by action; sets recomputation where memory needs it.
  double time_of(Chain& chain, int64_t samples) const {
    const int num_stages = static_cast<int>(chain.devices.size());
    const int count = static_cast<int>((samples + chain.microbatch - 1) / chain.microbatch);
    chain.recompute.assign(num_stages, false);
    for (int s = 0; s < num_stages; ++s) {
      if (fits(chain, s, count)) continue;
      chain.recompute[s] = true;
      if (!fits(chain, s, count)) return kNever;
    }
    std::vector<std::vector<double>> forward(num_stages, std::vector<double>(count, -1));
    std::vector<std::vector<double>> backward = forward;
    std::vector<double> clock(num_stages, 0);
    std::vector<int> done(num_stages, 0);  // actions
    for (bool moved = true; moved;) {
      moved = false;
      for (int s = 0; s < num_stages; ++s) {
        while (done[s] < 2 * count) {
          const int warm = std::min(num_stages - s, count);
          // F x warm, then B F B F ..., at last the Bs that are left.
          const int k = done[s];
          bool is_forward = k < warm;
          int index = k;
          if (k >= warm) {
            const int after = k - warm;
            const int pairs = count - warm;
            is_forward = after < 2 * pairs && after % 2 == 1;
            index = is_forward ? warm + after / 2 : (after < 2 * pairs ? after / 2 : after - pairs);
          }
          const int size = static_cast<int>(
              std::min<int64_t>(chain.microbatch, samples - int64_t{index} * chain.microbatch));
          double ready = 0;
          if (is_forward && s > 0) {
            if (forward[s - 1][index] < 0) break;
            ready = forward[s - 1][index] + message(chain, s - 1, size);
          }
          if (!is_forward && s + 1 < num_stages) {
            if (backward[s + 1][index] < 0) break;
            ready = backward[s + 1][index] + message(chain, s, size);
          }
          clock[s] = std::max(clock[s], ready) + work(chain, s, size, is_forward);
          (is_forward ? forward : backward)[s][index] = clock[s];
          ++done[s];
          moved = true;
        }
      }
    }
    return *std::ranges::max_element(clock);
  }

  double work(const Chain& chain, int s, int size, bool is_forward) const {
    double forward = 0, backward = 0;
    for (int layer = chain.cuts[s]; layer < chain.cuts[s + 1]; ++layer) {
      const LayerTime& time = devices_[chain.devices[s]].times[size - 1][layer];
      forward += time.forward;
      backward += time.backward_input + time.backward_weight;
    }
    if (is_forward) return forward;
    return backward + (chain.recompute[s] ? forward : 0);
  }

  double message(const Chain& chain, int border, int size) const {
    const DeviceInfo& a = devices_[chain.devices[border]].info;
    const DeviceInfo& b = devices_[chain.devices[border + 1]].info;
    const double bytes = 4.0 * size * static_cast<double>(run_.model.context * run_.model.hidden);
    return latency(a, b) + bytes / bandwidth(a, b);
  }

  static double latency(const DeviceInfo& a, const DeviceInfo& b) {
    if (a.site != b.site) return 5e-3;
    return a.host == b.host ? 10e-6 : 20e-6;
  }
  static double bandwidth(const DeviceInfo& a, const DeviceInfo& b) {
    if (a.site != b.site) return 1.25e9;
    return a.host == b.host ? kInHost : kBetweenHosts;
  }

  // Activations decide; parameters are too few to count, but are counted. A device keeps 4 % in
  // reserve and orders are made for 95 % of what is left for activations.
  bool fits(const Chain& chain, int s, int count) const {
    const Device& device = devices_[chain.devices[s]];
    double kept = 0, passing = 0, parameters = 0;
    for (int layer = chain.cuts[s]; layer < chain.cuts[s + 1]; ++layer) {
      const double bytes = device.times[chain.microbatch - 1][layer].activation_bytes;
      const bool again = chain.recompute[s] && layer > 0 && layer + 1 < num_layers_;
      kept += again ? border_bytes(chain) : bytes;
      if (again) passing = bytes;
      for (const TensorSpec& tensor : tensors_of_layer(layer)) {
        parameters += static_cast<double>(tensor.num_elements());
      }
    }
    const int depth = std::min(static_cast<int>(chain.devices.size()) - s, count);
    const double activations = depth * (kept + border_bytes(chain)) + border_bytes(chain) + passing;
    return 16 * parameters + activations / 0.95 <=
           0.96 * static_cast<double>(device.info.memory_bytes);
  }

  double border_bytes(const Chain& chain) const {
    return 4.0 * chain.microbatch * static_cast<double>(run_.model.context * run_.model.hidden);
  }

  const std::vector<TensorSpec>& tensors_of_layer(int layer) const {
    std::vector<std::vector<TensorSpec>>& known = tensors_;
    if (known.empty()) {
      known.resize(num_layers_);
      for (const TensorSpec& tensor : tensors_of(run_.model)) known[tensor.layer].push_back(tensor);
    }
    return known[layer];
  }

  void list_sets(const std::vector<int>& members, size_t from, std::vector<const Timed*>& chosen,
                 std::vector<Island>& best) {
    if (!chosen.empty()) share(chosen, best);
    for (size_t c = from; c < chains_.size(); ++c) {
      const bool is_free = std::ranges::all_of(chosen, [&](const Timed* other) {
        return std::ranges::find_first_of(other->devices, chains_[c].devices) ==
               other->devices.end();
      });
      // Sets in order of their first devices, so that each comes once.
      if (!is_free || (!chosen.empty() && chains_[c].devices[0] < chosen.back()->devices[0])) {
        continue;
      }
      chosen.push_back(&chains_[c]);
      list_sets(members, c + 1, chosen, best);
      chosen.pop_back();
    }
  }

  // All sharings of all numbers of samples over the chosen pipelines: one pipeline after the other.
  void share(const std::vector<const Timed*>& chosen, std::vector<Island>& best) {
    ++result_.num_compared;
    const auto batch = static_cast<size_t>(run_.global_batch);
    std::vector<double> slowest(batch + 1, kNever);
    std::vector<std::vector<int64_t>> samples(batch + 1);
    slowest[0] = 0;
    for (const Timed* timed : chosen) {
      std::vector<double> next(batch + 1, kNever);
      std::vector<std::vector<int64_t>> next_samples(batch + 1);
      for (size_t before = 0; before < batch; ++before) {
        if (slowest[before] >= kNever) continue;
        for (size_t mine = 1; before + mine <= batch; ++mine) {
          const double seconds = std::max(slowest[before], timed->seconds[mine - 1]);
          if (seconds >= next[before + mine]) continue;
          next[before + mine] = seconds;
          next_samples[before + mine] = samples[before];
          next_samples[before + mine].push_back(static_cast<int64_t>(mine));
        }
      }
      slowest = next;
      samples = next_samples;
    }
    for (size_t b = 1; b <= batch; ++b) {
      if (slowest[b] >= best[b].seconds) continue;
      Island island{slowest[b], {}, samples[b]};
      for (size_t p = 0; p < chosen.size(); ++p) {
        island.chains.push_back(chosen[p]->chain[samples[b][p] - 1]);
      }
      island.seconds += end_of_step(island);
      if (island.seconds < best[b].seconds) best[b] = island;
    }
  }

  // Reduce and gather of every run of layers with the same holders, one after the other; updates.
  double end_of_step(const Island& island) const {
    double reduce = 0, gather = 0, update = 0;
    for (int layer = 0; layer < num_layers_; ++layer) {
      std::vector<int> holders;
      bool is_new = layer == 0;
      for (const Chain& chain : island.chains) {
        size_t s = 0;
        while (chain.cuts[s + 1] <= layer) ++s;
        is_new |= chain.cuts[s] == layer;
        holders.push_back(chain.devices[s]);
      }
      double elements = 0, bandwidth_least = kInHost, latency_most = 0, speed = 0;
      for (const TensorSpec& tensor : tensors_of_layer(layer)) {
        elements += static_cast<double>(tensor.num_elements());
      }
      for (int a : holders) {
        speed += 1 / devices_[a].times[0][layer].update;
        for (int b : holders) {
          if (a == b) continue;
          const DeviceInfo &one = devices_[a].info, &other = devices_[b].info;
          bandwidth_least = std::min(bandwidth_least, bandwidth(one, other));
          latency_most = std::max(latency_most, latency(one, other));
        }
      }
      const auto n = static_cast<double>(holders.size());
      update += 1 / speed;
      reduce += 4 * elements * (n - 1) / n / bandwidth_least;
      gather += 4 * elements * (n - 1) / n / bandwidth_least;
      if (is_new && n > 1) reduce += 2 * latency_most;
    }
    return reduce + gather + update;
  }

  const Run run_;
  const SmallCase& small_;
  int num_layers_ = 0;
  std::vector<Device> devices_;
  std::vector<Timed> chains_;
  std::map<std::vector<int>, std::vector<Island>> known_;
  mutable std::vector<std::vector<TensorSpec>> tensors_;
  Exhausted result_;
};

}  // namespace

SmallCase random_case(uint64_t seed) {
  const CounterRandom random(seed, "small case");
  uint64_t drawn = 0;
  const auto draw = [&](uint64_t bound) { return random.below(drawn++, bound); };
  SmallCase small;
  small.run.model = {64, 16, static_cast<int64_t>(2 + draw(4)), 2, 2, 8, 24, 16};
  small.run.global_batch = static_cast<int64_t>(3 + draw(6));
  small.run.steps = 100;
  const char* chips[] = {"a100-sxm-80", "h20", "v100-sxm2-32"};
  for (const char* chip : chips) {
    const double speed = 0.2 + 0.1 * static_cast<double>(draw(19));
    for (int size : {1, 2}) {
      // Two samples at once take somewhat less than twice the time.
      const double ms = 1e-3 / speed * (size == 1 ? 1.0 : 1.8), bytes = 1e9 * size;
      const double block = ms * static_cast<double>(4 + draw(3));
      small.profile.layers.push_back(
          {chip, LayerKind::kEmbedding, size, 1, 0.2 * ms, 0, 0.2 * ms, 1e-6 / speed, bytes / 4});
      small.profile.layers.push_back(
          {chip, LayerKind::kBlock, size, 1, block, block, block, 2e-6 / speed, bytes});
      small.profile.layers.push_back(
          {chip, LayerKind::kHead, size, 1, 2 * ms, 2 * ms, 2 * ms, 1e-6 / speed, bytes / 2});
    }
  }
  const uint64_t num_sites = 1 + draw(2), num_devices = 1 + draw(6);
  const int64_t scarce = draw(2) == 0 ? 100 : static_cast<int64_t>(4 + draw(12));
  for (uint64_t s = 0; s < num_sites; ++s) small.cluster.sites.push_back({cat("s", s), 0, {}});
  for (uint64_t d = 0; d < num_devices; ++d) {
    std::vector<HostGroup>& hosts = small.cluster.sites[draw(num_sites)].hosts;
    if (hosts.empty() || draw(2) == 0) {
      hosts.push_back({cat("h", hosts.size()), 1, 0, kBetweenHosts, 10e-6, {}});
    }
    const auto memory =
        static_cast<int64_t>(1e9) * (scarce + static_cast<int64_t>(draw(4))) + 200'000'000;
    hosts.back().devices.push_back({chips[draw(3)], 1, memory, 0, ""});
  }
  std::erase_if(small.cluster.sites, [](const Site& site) { return site.hosts.empty(); });
  if (small.cluster.sites.size() == 2) {
    small.cluster.links.push_back({"s0", "s1", 1.25e9, 10e-3, 0, 0});
  }
  return small;
}

Exhausted exhaust(const SmallCase& small) { return Opponent(small).run(); }

}  // namespace skarv
