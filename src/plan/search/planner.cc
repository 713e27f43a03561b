#include "plan/search/planner.h"

#include <algorithm>
#include <optional>

#include "base/text.h"
#include "plan/search/candidates.h"
#include "plan/search/split.h"

namespace skarv {
namespace {

// Shares of the global batch are corrected by the predicted speed of the islands this many times.
constexpr int kNumCorrections = 4;

struct Choice {
  Candidate candidate;
  IslandPrice price;
};

struct SitePart {
  std::string name;
  std::vector<DeviceInfo> devices;
};

class Planner {
 public:
  explicit Planner(const Market& market) : market_(market) {
    for (const Site& site : market.cluster.sites) sites_.push_back({site.name, {}});
  }

  Result<Plan> run() {
    SKARV_ASSIGN(const std::vector<DeviceInfo> devices, expand_devices(market_.cluster));
    for (const DeviceInfo& device : devices) {
      std::ranges::find(sites_, device.site, &SitePart::name)->devices.push_back(device);
    }
    std::erase_if(sites_, [](const SitePart& site) { return site.devices.empty(); });
    if (sites_.empty()) {
      return config_error("the cluster has no devices").with_hint("add devices to its hosts");
    }
    if (market_.run.global_batch < static_cast<int64_t>(sites_.size())) {
      return config_error(cat("global_batch = ", market_.run.global_batch, " gives ", sites_.size(),
                              " sites less than one sample each"))
          .at("run.global_batch")
          .with_hint("raise global_batch or leave sites out of the cluster file");
    }
    std::vector<double> seconds;  // per sample, by site
    for (const SitePart& site : sites_) {
      SKARV_ASSIGN(const double speed, ideal_speed(site));
      seconds.push_back(1 / speed);
    }
    std::optional<std::vector<Choice>> best;
    int64_t best_ns = 0;
    for (int i = 0; i < kNumCorrections; ++i) {
      const std::vector<int64_t> samples =
          at_least_one(split_pieces(market_.run.global_batch, seconds));
      std::vector<Choice> choices;
      int64_t slowest = 0;
      for (size_t s = 0; s < sites_.size(); ++s) {
        SKARV_ASSIGN(Choice choice, choose(sites_[s], samples[s]));
        const int64_t step = choice.price.trace.step_ns;
        slowest = std::max(slowest, step);
        seconds[s] = static_cast<double>(step) * 1e-9 / static_cast<double>(samples[s]);
        choices.push_back(std::move(choice));
      }
      if (!best || slowest < best_ns) {
        best = std::move(choices);
        best_ns = slowest;
      }
    }
    return assemble(*best);
  }

 private:
  // Samples per second of all devices of the site alone, added up.
  Result<double> ideal_speed(const SitePart& site) const {
    const std::vector<int> sizes = microbatches_of(site.devices, market_.profile);
    double speed = 0;
    for (const DeviceInfo& device : site.devices) {
      SKARV_ASSIGN(const AloneTime alone,
                   alone_time(device, sizes.empty() ? 1 : sizes.back(), market_));
      speed += 1 / alone.per_sample;
    }
    return speed;
  }

  static std::vector<int64_t> at_least_one(std::vector<int64_t> samples) {
    for (int64_t& share : samples) {
      if (share > 0) continue;
      --*std::ranges::max_element(samples);
      share = 1;
    }
    return samples;
  }

  // The fastest candidate of a site that fits; recomputation only if nothing fits without.
  Result<Choice> choose(const SitePart& site, int64_t samples) {
    std::vector<int> sizes = microbatches_of(site.devices, market_.profile);
    if (sizes.empty()) {
      return Status(
                 Code::kNotFound, Scope::kConfig,
                 cat("the profile has no microbatch size that all chips of ", site.name, " share"))
          .with_hint("measure them together with `skarv probe`");
    }
    std::optional<Choice> nearest;  // of those that do not fit
    for (Recompute recompute : {Recompute::kNone, Recompute::kFull}) {
      std::optional<Choice> best;
      for (int size : sizes) {
        if (size > samples && size != sizes.front()) continue;
        SKARV_ASSIGN(std::vector<Candidate> candidates,
                     candidates_of(site.name, site.devices, size, samples, recompute, market_));
        for (Candidate& candidate : candidates) {
          Plan plan;
          plan.owner_share = candidate.owner_share;
          SKARV_ASSIGN(IslandPrice price, price_island(candidate.island, plan, market_));
          std::optional<Choice>& slot = price.fullest_overflow() < 0 ? best : nearest;
          if (!slot || is_better(price, slot->price)) {
            slot = Choice{std::move(candidate), std::move(price)};
          }
        }
      }
      if (best) return std::move(*best);
    }
    return does_not_fit(site, nearest->price);
  }

  static int64_t overflow(const IslandPrice& price) {
    const int rank = price.fullest_overflow();
    return rank < 0 ? 0 : price.memory[rank].total() - price.memory[rank].limit;
  }
  static bool is_better(const IslandPrice& a, const IslandPrice& b) {
    return std::pair(overflow(a), a.trace.step_ns) < std::pair(overflow(b), b.trace.step_ns);
  }

  static Status does_not_fit(const SitePart& site, const IslandPrice& price) {
    const int rank = price.fullest_overflow();
    const DeviceMemory& memory = price.memory[rank];
    const auto show = [](int64_t bytes) { return human_bytes(static_cast<double>(bytes)); };
    return Status(Code::kResourceExhausted, Scope::kConfig,
                  cat("no plan fits in the memory of site ", site.name, "; in the nearest one ",
                      price.ownership.devices[rank], " needs ", show(memory.total()), " (weights ",
                      show(memory.weights), ", gradients ", show(memory.gradients), ", optimizer ",
                      show(memory.optimizer), ", activations ", show(memory.activations),
                      ", worker ", show(memory.base), ") of ", show(memory.limit)))
        .at(site.name)
        .with_hint("choose a smaller model or context, or add devices to the site");
  }

  Plan assemble(const std::vector<Choice>& choices) const {
    Plan plan;
    plan.model = digest_of(market_.run.model);
    for (const Choice& choice : choices) {
      plan.islands.push_back(choice.candidate.island);
      for (const IdleDevice& idle : choice.candidate.idle) plan.idle.push_back(idle);
      plan.owner_share.insert(choice.candidate.owner_share.begin(),
                              choice.candidate.owner_share.end());
    }
    return plan;
  }

  const Market& market_;
  std::vector<SitePart> sites_;
};

std::string layers_of(const Pipeline& pipeline, const std::string& device) {
  std::string text;
  for (const Stage& stage : pipeline.stages) {
    if (std::ranges::find(stage.devices, device) == stage.devices.end()) continue;
    text += cat(text.empty() ? "" : " ", stage.first, "-", stage.last - 1);
  }
  return text;
}

Status add_island(const Island& island, const Plan& plan, const Market& market,
                  PlanReport& report) {
  SKARV_ASSIGN(const IslandPrice price, price_island(island, plan, market));
  const double step = price.step_seconds();
  report.islands.push_back({island.name, island.samples(), step});
  report.step_seconds = std::max(report.step_seconds, step);
  for (size_t rank = 0; rank < price.ownership.devices.size(); ++rank) {
    const DeviceInfo& info = market.devices.at(price.ownership.devices[rank]);
    DeviceReport device{info.name, island.name, info.chip.name, info.pace};
    for (const Pipeline& pipeline : island.pipelines) {
      const std::string layers = layers_of(pipeline, info.name);
      if (layers.empty()) continue;
      device.layers = layers;
      device.samples = pipeline.samples;
    }
    device.memory = price.memory[rank];
    device.busy_seconds = static_cast<double>(price.trace.busy_ns[rank]) * 1e-9;
    device.utilisation = device.busy_seconds / step;
    report.devices.push_back(std::move(device));
  }
  for (const auto& [host, bytes] : keeper_memory(price.ownership, market.table)) {
    report.keeper_bytes[host] += bytes;
  }
  return {};
}

// Tokens a second of a device that trains the whole batch by itself, at its best measured
// microbatch.
Result<double> tokens_alone(const DeviceInfo& device, const Market& market) {
  double best = 0;
  for (int size : microbatches_of({device}, market.profile)) {
    SKARV_ASSIGN(const AloneTime alone, alone_time(device, size, market));
    const double step =
        alone.per_sample * static_cast<double>(market.run.global_batch) + alone.update;
    best = std::max(best, static_cast<double>(market.run.tokens_per_step()) / step);
  }
  return best;
}

Result<PlanReport> report_on(Plan plan, const Market& market) {
  PlanReport report;
  report.estimated = market.profile.estimated;
  for (const Island& island : plan.islands) SKARV_TRY(add_island(island, plan, market, report));
  double longest_busy = 0;
  for (DeviceReport& device : report.devices) {
    SKARV_ASSIGN(device.alone_tokens_per_second,
                 tokens_alone(market.devices.at(device.device), market));
    report.sum_of_parts += device.alone_tokens_per_second;
    longest_busy = std::max(longest_busy, device.busy_seconds);
  }
  for (const IdleDevice& idle : plan.idle) {
    SKARV_ASSIGN(const double alone, tokens_alone(market.devices.at(idle.device), market));
    report.sum_of_parts += alone;
  }
  const auto tokens = static_cast<double>(market.run.tokens_per_step());
  report.tokens_per_second = tokens / report.step_seconds;
  report.efficiency = report.tokens_per_second / report.sum_of_parts;
  report.integer_bound = tokens / longest_busy / report.sum_of_parts;
  report.plan = std::move(plan);
  return report;
}

// Keepers live in host memory; a host whose memory the cluster file leaves out is not judged.
Status check_keepers(const PlanReport& report, const Cluster& cluster) {
  for (const Site& site : cluster.sites) {
    for (const HostGroup& host : site.hosts) {
      for (int i = 0; i < host.count && host.memory_bytes > 0; ++i) {
        const std::string name =
            site.name + "/" + (host.count == 1 ? host.name : cat(host.name, i));
        const auto found = report.keeper_bytes.find(name);
        if (found == report.keeper_bytes.end() || found->second <= host.memory_bytes) continue;
        return Status(Code::kResourceExhausted, Scope::kConfig,
                      cat("the keeper on host ", name, " needs ",
                          human_bytes(static_cast<double>(found->second)), " of ",
                          human_bytes(static_cast<double>(host.memory_bytes)), " host memory"))
            .at(name)
            .with_hint("add hosts to the site: its keepers share the model's slabs");
      }
    }
  }
  return {};
}

Status check_profile(const Run& run, const Profile& profile) {
  const std::string digest = digest_of(run.model).hex();
  if (profile.model.empty() || profile.model == digest) return {};
  return config_error(cat("the profile was measured for the model ", profile.model.substr(0, 12),
                          ", this is ", digest.substr(0, 12)))
      .at("profile")
      .with_hint("measure again: skarv probe");
}

}  // namespace

Result<PlanReport> make_plan(const Run& run, const Cluster& cluster, const Profile& profile) {
  SKARV_TRY(check_model(run.model, "model"));
  SKARV_TRY(check_profile(run, profile));
  SKARV_ASSIGN(const DeviceIndex devices, index_devices(cluster));
  const SlabTable table(run.model, run.exchange.num_fragments);
  const Market market{run, cluster, profile, devices, table};
  SKARV_ASSIGN(Plan plan, Planner(market).run());
  SKARV_TRY(check_plan(plan, run.model, run, cluster).wrap("the planner's own plan"));
  SKARV_ASSIGN(PlanReport report, report_on(std::move(plan), market));
  SKARV_TRY(check_keepers(report, cluster));
  return report;
}

Result<PlanReport> price_plan(const Plan& plan, const Run& run, const Cluster& cluster,
                              const Profile& profile) {
  SKARV_TRY(check_plan(plan, run.model, run, cluster));
  SKARV_TRY(check_profile(run, profile));
  SKARV_ASSIGN(const DeviceIndex devices, index_devices(cluster));
  const SlabTable table(run.model, run.exchange.num_fragments);
  return report_on(plan, {run, cluster, profile, devices, table});
}

}  // namespace skarv
