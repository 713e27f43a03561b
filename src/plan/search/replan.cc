#include "plan/search/replan.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/text.h"
#include "plan/cost/device_index.h"
#include "plan/outer/goodput.h"
#include "spec/traffic.h"

namespace skarv {
namespace {

constexpr double kDefaultNetwork = 1.25e9;  // bytes/s; as plan/cost/link_cost.cc

// Layers that each device holds.
std::map<std::string, std::set<int>> layers_by_device(const Plan& plan) {
  std::map<std::string, std::set<int>> layers;
  for (const Island& island : plan.islands) {
    for (const Pipeline& pipeline : island.pipelines) {
      for (const Stage& stage : pipeline.stages) {
        for (const std::string& device : stage.devices) {
          for (int layer = stage.first; layer < stage.last; ++layer) layers[device].insert(layer);
        }
      }
    }
  }
  return layers;
}

std::string host_of(const std::string& device) { return device.substr(0, device.rfind('/')); }

std::string site_of(const std::string& device) { return device.substr(0, device.find('/')); }

// Bytes/s of the fastest link from a site of the running plan; without any, as a host's network.
double fastest_link(const std::set<std::string>& from, const std::string& to,
                    const Cluster& cluster) {
  double fastest = 0;
  for (const std::string& site : from) {
    const Link* link = cluster.find_link(site, to);
    if (link != nullptr) fastest = std::max(fastest, link->bandwidth);
  }
  return fastest > 0 ? fastest : kDefaultNetwork;
}

// What devices lack of the layers that the new plan gives them: weights, and the owner's part of
// the optimizer state, by the layer's holders. It takes as long as the host that lacks most; layers
// that a whole site lacks come once over its fastest link, and then the workers start again.
void add_moves(const Plan& from, const Plan& to, const Run& run, const Cluster& cluster,
               Replanned& result) {
  std::vector<int64_t> parameters(run.model.num_layers(), 0);
  for (const TensorSpec& tensor : tensors_of(run.model)) {
    parameters[tensor.layer] += tensor.num_elements();
  }
  const int64_t weight = element_bytes(run.precision);
  const int64_t optimizer = weight == 4 ? 8 : 12;
  const auto before = layers_by_device(from);
  std::map<std::string, std::set<int>> at_site;
  std::set<std::string> sites;
  for (const auto& [device, layers] : before) {
    at_site[site_of(device)].insert(layers.begin(), layers.end());
    sites.insert(site_of(device));
  }
  std::map<std::string, int64_t> by_host, by_site;
  for (const Island& island : to.islands) {
    std::vector<int64_t> holders(run.model.num_layers(), 0);
    for (const Pipeline& pipeline : island.pipelines) {
      for (const Stage& stage : pipeline.stages) {
        for (int layer = stage.first; layer < stage.last; ++layer) {
          holders[layer] += stage.tensor_parallel;
        }
      }
    }
    for (const Pipeline& pipeline : island.pipelines) {
      for (const Stage& stage : pipeline.stages) {
        for (const std::string& device : stage.devices) {
          const auto known = before.find(device);
          for (int layer = stage.first; layer < stage.last; ++layer) {
            if (known != before.end() && known->second.contains(layer)) continue;
            const int64_t bytes = parameters[layer] * weight / stage.tensor_parallel +
                                  parameters[layer] * optimizer / holders[layer];
            result.moved_bytes += bytes;
            by_host[host_of(device)] += bytes;
            if (at_site[site_of(device)].insert(layer).second) {
              by_site[site_of(device)] += parameters[layer] * (weight + optimizer);
            }
          }
        }
      }
    }
  }
  const HostIndex hosts = index_hosts(cluster);
  for (const auto& [name, bytes] : by_host) {
    const auto host = hosts.find(name);
    const double given = host == hosts.end() ? 0 : host->second->network_bandwidth;
    result.move_seconds = std::max(
        result.move_seconds, static_cast<double>(bytes) / (given > 0 ? given : kDefaultNetwork));
  }
  for (const auto& [site, bytes] : by_site) {
    result.move_seconds = std::max(result.move_seconds,
                                   static_cast<double>(bytes) / fastest_link(sites, site, cluster));
  }
  result.move_seconds += FailureRates{}.restart_seconds;
}

// Why the running plan cannot go on; empty: it can.
std::string obstacle(const Result<PlanReport>& priced, const Cluster& cluster) {
  if (!priced.ok()) return priced.status().message();
  for (const DeviceReport& device : priced->devices) {
    if (!device.memory.fits()) return cat("it does not fit in the memory of ", device.device);
  }
  const Status keepers = check_keeper_memory(*priced, cluster);
  return keepers.ok() ? "" : keepers.message();
}

}  // namespace

Result<Replanned> replan(const Plan& running, const Run& run, const Cluster& cluster,
                         const Profile& profile, const PlannerLimits& limits) {
  if (running.model != digest_of(run.model)) {
    return config_error("the running plan was made for another model")
        .at("model")
        .with_hint("give the plan of this run");
  }
  Replanned result;
  SKARV_ASSIGN(PlanReport fresh, make_plan(run, cluster, profile, limits));
  Result<PlanReport> old = price_plan(running, run, cluster, profile);
  result.reason = obstacle(old, cluster);
  if (digest_of(fresh.plan) != digest_of(running)) {
    add_moves(running, fresh.plan, run, cluster, result);
  }
  if (!result.reason.empty()) {
    result.report = std::move(fresh);
    return result;
  }
  result.gain_seconds = old->whole_step_seconds() - fresh.whole_step_seconds();
  if (result.gain_seconds > 0) result.pays_after_steps = result.move_seconds / result.gain_seconds;
  const bool is_worth =
      result.gain_seconds > 0 && result.pays_after_steps < static_cast<double>(run.steps);
  result.is_kept = !is_worth;
  result.report = is_worth ? std::move(fresh) : std::move(*old);
  return result;
}

std::string to_text(const Replanned& replanned) {
  const std::string moved = cat(human_bytes(static_cast<double>(replanned.moved_bytes)),
                                " to move, ", human_seconds(replanned.move_seconds));
  if (!replanned.reason.empty()) {
    return cat("the running plan cannot go on: ", replanned.reason, "; ", moved, "\n");
  }
  if (replanned.gain_seconds <= 0) return "the running plan stays: no other is faster\n";
  const std::string figures =
      cat(human_seconds(replanned.gain_seconds), " a step gained, ", moved, ", won back after ",
          fixed(replanned.pays_after_steps, 0), " steps\n");
  return (replanned.is_kept ? "the running plan stays: " : "change to this plan: ") + figures;
}

}  // namespace skarv
