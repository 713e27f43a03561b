#include "plan/search/reasons.h"

#include <algorithm>
#include <optional>
#include <set>

#include "base/text.h"

namespace skarv {
namespace {

constexpr double kVisible = 0.0005;  // of a step, shown as 0.1 %

int64_t num_taken(const IslandShape& shape, int pool) {
  int64_t count = 0;
  for (const PipelineGroup& group : shape.groups) {
    for (const StageShape& stage : group.pipeline.stages) {
      if (stage.pool == pool) count += int64_t{group.replicas} * stage.tensor_parallel;
    }
  }
  return count;
}

// How much longer than the shortest step found, as estimated, is the shortest one with more than so
// many devices of the pool: 0.07 for 7 %. Nothing: none was found.
std::optional<double> longer_with_more(const std::vector<WholeShape>& found, int pool,
                                       int64_t count) {
  int64_t least_ns = INT64_MAX, with_ns = INT64_MAX;
  for (const WholeShape& whole : found) {
    least_ns = std::min(least_ns, whole.step_ns());
    for (const IslandChoice& choice : whole.islands) {
      int64_t others_ns = 0;
      for (const IslandChoice& other : whole.islands) {
        if (&other != &choice) others_ns = std::max(others_ns, other.step_ns());
      }
      const auto look_at = [&](int64_t ns) {
        with_ns = std::min(with_ns, std::max(others_ns, ns));
      };
      const auto with_any = choice.step_with_pool.find(pool);
      if (count == 0 && with_any != choice.step_with_pool.end()) look_at(with_any->second);
      for (const IslandShape& shape : choice.shapes) {
        if (num_taken(shape, pool) > count) look_at(shape.step_ns);
      }
    }
  }
  if (with_ns == INT64_MAX) return std::nullopt;
  return static_cast<double>(with_ns) / static_cast<double>(least_ns) - 1;
}

std::string percent(double part) { return fixed(100 * part, 1) + " %"; }

// "7.0 % of the cluster's speed": what so many devices of the pool are, nobody ever waiting.
std::string speed_of(const World& world, int pool, int64_t count) {
  double all = 0;
  for (size_t p = 0; p < world.pools().size(); ++p) all += ideal_speed(world, static_cast<int>(p));
  const double each = ideal_speed(world, pool) / std::max(1, world.pool(pool).num_devices());
  return percent(each * static_cast<double>(count) / all) + " of the cluster's speed";
}

std::string reason_for(const World& world, const std::vector<WholeShape>& found,
                       const Finalist& best, int pool, int num_used, int num_all) {
  const Pool& devices = world.pool(pool);
  const std::string& site = world.sites()[devices.site].name;
  const std::string who = cat(site, "'s ", devices.chip.name, "s");
  if (devices.num_barred > 0 && num_used == devices.num_devices()) {
    return "an island has one host with this trainer; another one of the site is faster";
  }
  const std::string speed = speed_of(world, pool, devices.num_devices() - num_used);
  const std::optional<double> longer = longer_with_more(found, pool, num_used);
  const bool is_slower = longer && *longer >= kVisible;
  if (num_used > 0) {
    return cat("the stages and samples need only ", num_used, " of ", who, " (", num_all, "); ",
               is_slower ? cat("with more the step would be ", percent(*longer), " longer")
                         : cat("more, ", speed, ", would not make the step shorter"));
  }
  if (is_slower) return cat(who, " would make the step ", percent(*longer), " longer: left out");
  if (longer) return cat(who, ", ", speed, ", would not make the step shorter: left out");
  if (std::ranges::find(best.shape.left_out, devices.site) != best.shape.left_out.end()) {
    return cat("site ", site, ", ", speed,
               ", has no part of model and batch that fits its memory and ends in the step of the "
               "others");
  }
  return cat(who, ", ", speed, ", fit in no pipeline that holds the model: left out");
}

Status describe_overflow(const std::string& device, const DeviceMemory& memory) {
  const std::string site = site_of(device);
  const auto show = [](int64_t bytes) { return human_bytes(static_cast<double>(bytes)); };
  return Status(Code::kResourceExhausted, Scope::kConfig,
                cat("no plan fits in the memory of site ", site, "; in the nearest one ", device,
                    " needs ", show(memory.total()), " (weights ", show(memory.weights),
                    ", gradients ", show(memory.gradients), ", optimizer ", show(memory.optimizer),
                    ", activations ", show(memory.activations), ", buffers ", show(memory.buffers),
                    ", worker ", show(memory.base), ", reserve ", show(memory.reserve), ") of ",
                    show(memory.limit)))
      .at(site)
      .with_hint("choose a smaller model or context, or add devices to the site");
}

}  // namespace

std::vector<AlternativeReport> alternatives(const World& world,
                                            std::vector<std::pair<int64_t, std::string>> others,
                                            const Finalist& best) {
  std::set<std::string> seen;
  for (const IslandChoice& choice : best.shape.islands) {
    const std::string text = describe(world, choice.shapes.front());
    seen.insert(text);
    seen.insert(island_name(world, choice) + ": " + text);
  }
  std::ranges::sort(others);
  std::vector<AlternativeReport> result;
  for (const auto& [ns, text] : others) {
    if (result.size() >= kNumAlternatives) break;
    if (ns < best.step_ns || !seen.insert(text).second) continue;
    result.push_back({text, static_cast<double>(ns) * 1e-9});
  }
  return result;
}

void add_idle(const World& world, const std::vector<WholeShape>& found, const Finalist& best,
              Plan& plan) {
  plan.idle.clear();
  std::set<std::string> used;
  for (const Island& island : plan.islands) {
    for (const std::string& device : island.devices()) used.insert(device);
  }
  for (size_t p = 0; p < world.pools().size(); ++p) {
    const Pool& pool = world.pools()[p];
    int num_used = 0, num_all = 0;
    for (const std::vector<std::string>& host : pool.hosts) {
      for (const std::string& device : host) {
        num_used += used.contains(device);
        ++num_all;
      }
    }
    if (num_used == num_all) continue;
    const std::string reason =
        reason_for(world, found, best, static_cast<int>(p), num_used, num_all);
    for (const std::vector<std::string>& host : pool.hosts) {
      for (const std::string& device : host) {
        if (!used.contains(device)) plan.idle.push_back({device, reason});
      }
    }
  }
}

Status does_not_fit(const Pricer& pricer, int64_t global_batch, World world) {
  world.forget_memory();
  const std::vector<WholeShape> found = search_sites(world, global_batch, 1);
  if (found.empty()) return bug("no plan even without limits of memory");
  WholeShape whole = found.front();
  for (IslandChoice& choice : whole.islands) {
    for (IslandShape& shape : choice.shapes) {
      for (PipelineGroup& group : shape.groups) {
        group.pipeline.flow = Flow::k1f1b;
        for (StageShape& stage : group.pipeline.stages) stage.recompute = true;
      }
    }
  }
  SKARV_ASSIGN(const std::optional<Finalist> nearest, Finals(world, pricer).judge(whole));
  for (const Assembled& assembled : nearest->islands) {
    SKARV_ASSIGN(const IslandStep step, pricer.play(assembled.island, assembled.owner_share));
    const int rank = step.fullest_overflow();
    if (rank >= 0) return describe_overflow(step.schedule.devices[rank], step.memory[rank]);
    // Devices have room, so it is the keepers that do not.
    SKARV_TRY(
        check_keepers(keeper_memory(assembled.island.devices(), step.loads), pricer.world().hosts));
  }
  return Status(Code::kResourceExhausted, Scope::kConfig, "no plan fits in memory")
      .with_hint("choose a smaller model or context, or add devices");
}

}  // namespace skarv
