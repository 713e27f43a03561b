#include "plan/search/figures.h"

#include <algorithm>
#include <map>

#include "base/text.h"

namespace skarv {
namespace {

std::string percent(double part) { return fixed(100 * part, 1) + " %"; }

// Layers of all stages of a device: "0-5", "0-2 6-8".
std::string layers_of(const Pipeline& pipeline, const std::string& device) {
  std::string text;
  for (const Stage& stage : pipeline.stages) {
    if (std::ranges::find(stage.devices, device) == stage.devices.end()) continue;
    text += cat(text.empty() ? "" : " ", stage.first, "-", stage.last - 1);
  }
  return text;
}

class Figures {
 public:
  Figures(const Plan& plan, const Pricer& pricer, int64_t global_batch)
      : plan_(plan), pricer_(pricer), world_(pricer.world()), global_batch_(global_batch) {
    report_.plan = plan;
  }

  Result<PlanReport> run() {
    for (const Island& island : plan_.islands) SKARV_TRY(add_island(island));
    for (const IdleDevice& idle : plan_.idle) report_.sum_of_parts += alone(idle.device);
    for (const auto& [name, device] : world_.devices) {
      report_.estimated |= world_.workload.is_estimated(device.chip.name);
    }
    const double tokens = static_cast<double>(global_batch_ * world_.workload.tokens_per_sample());
    report_.tokens_per_second = tokens / report_.step_seconds;
    report_.efficiency = report_.tokens_per_second / report_.sum_of_parts;
    report_.integer_bound = tokens / longest_busy_ / report_.sum_of_parts;
    return std::move(report_);
  }

 private:
  Status add_island(const Island& island) {
    const std::vector<std::string> names = island.devices();
    const bool is_small = names.size() <= kFewDevices;
    SKARV_ASSIGN(const IslandStep step, pricer_.play(island, plan_.owner_share));
    for (const auto& [host, bytes] : keeper_memory(names, step.loads)) {
      report_.keeper_bytes[host] += bytes;
      const auto known = world_.hosts.find(host);
      if (known == world_.hosts.end() || known->second->memory_bytes == 0) continue;
      report_.host_bytes[host] = known->second->memory_bytes;
    }
    report_.islands.push_back({island.name, island.samples(), step.step_seconds()});
    if (step.step_seconds() > report_.step_seconds) {
      report_.step_seconds = step.step_seconds();
      report_.limited_by = where_it_goes(island, step);
    }
    std::map<std::string, const Pipeline*> pipeline_of;
    for (const Pipeline& pipeline : island.pipelines) {
      for (const Stage& stage : pipeline.stages) {
        for (const std::string& device : stage.devices) pipeline_of[device] = &pipeline;
      }
    }
    std::vector<int> row_of(step.fold.num_ranks(), -1);
    for (size_t rank = 0; rank < names.size(); ++rank) {
      const int folded = step.fold.folded_rank[rank];
      report_.sum_of_parts += alone(names[rank]);
      if (!is_small && row_of[folded] >= 0) {
        ++report_.devices[row_of[folded]].count;
        continue;
      }
      row_of[folded] = static_cast<int>(report_.devices.size());
      report_.devices.push_back(
          row(island, names[rank], *pipeline_of.at(names[rank]), step, folded));
    }
    return {};
  }

  DeviceReport row(const Island& island, const std::string& name, const Pipeline& pipeline,
                   const IslandStep& step, int folded) {
    const DeviceInfo& info = world_.devices.at(name);
    DeviceReport device;
    device.device = name;
    device.island = island.name;
    device.chip = info.chip.name;
    device.pace = info.pace;
    if (world_.workload.is_estimated(info.chip.name)) {
      device.unverified = unverified_figures(info.chip);
    }
    device.layers = layers_of(pipeline, name);
    device.samples = pipeline.samples;
    device.memory = step.memory[folded];
    device.busy_seconds = static_cast<double>(step.trace.busy_ns[folded]) * 1e-9;
    device.utilisation = device.busy_seconds / step.step_seconds();
    device.alone_tokens_per_second = alone(name);
    longest_busy_ = std::max(longest_busy_, device.busy_seconds);
    return device;
  }

  double alone(const std::string& name) {
    const DeviceInfo& info = world_.devices.at(name);
    const auto [entry, is_new] = alone_.emplace(std::pair(info.chip.name, info.pace), 0.0);
    if (is_new) {
      entry->second = tokens_alone(world_.workload, info.chip.name, info.pace, global_batch_);
    }
    return entry->second;
  }

  // In what the devices of the slowest island spend their step, on average.
  std::string where_it_goes(const Island& island, const IslandStep& step) const {
    std::vector<int64_t> weight(step.fold.num_ranks(), 0);
    for (int rank : step.fold.folded_rank) ++weight[rank];
    double compute = 0, bubble = 0, exposed = 0, collective = 0, all = 0;
    int busiest = 0;
    for (int rank = 0; rank < step.fold.num_ranks(); ++rank) {
      const RankUse& use = step.trace.use[rank];
      const auto part = [&](int64_t ns) {
        return static_cast<double>(ns) * static_cast<double>(weight[rank]);
      };
      compute += part(use.compute_ns);
      bubble += part(use.bubble_ns + use.done_ns + use.start_up_ns);
      exposed += part(use.exposed_ns);
      collective += part(use.collective_ns);
      all += part(step.trace.step_ns);
      if (use.compute_ns > step.trace.use[busiest].compute_ns) busiest = rank;
    }
    const std::string& name = step.schedule.devices[busiest];
    return cat(island.name, " computes ", percent(compute / all), " of its step, waits for others ",
               percent(bubble / all), ", for messages ", percent(exposed / all),
               ", exchanges gradients and weights ", percent(collective / all),
               "; busiest: ", world_.devices.at(name).chip.name, " ", name);
  }

  const Plan& plan_;
  const Pricer& pricer_;
  const StepWorld& world_;
  const int64_t global_batch_;
  PlanReport report_;
  double longest_busy_ = 0;
  std::map<std::pair<std::string, double>, double> alone_;
};

}  // namespace

double tokens_alone(const Workload& workload, const std::string& chip, double pace,
                    int64_t global_batch) {
  double best = 0;
  const std::vector<int> degrees = workload.tensor_parallels(chip);
  if (degrees.empty()) return 0;
  const int degree = degrees.front();
  const int middle = workload.kind(workload.num_layers() / 2);
  for (int size : workload.microbatches(chip, middle, degree)) {
    if (size > global_batch && best > 0) break;  // ascending; the smallest there is must do
    int64_t work = 0, update = 0;
    for (int layer = 0; layer < workload.num_layers(); ++layer) {
      const Result<LayerCost> cost = workload.cost(chip, layer, size, degree);
      if (!cost.ok()) return 0;
      work += cost->forward_ns + cost->backward_input_ns + cost->backward_weight_ns;
      update += cost->update_ns;
    }
    const double step_ns = static_cast<double>(work) * static_cast<double>(global_batch) / size +
                           static_cast<double>(update);
    const double tokens = static_cast<double>(global_batch * workload.tokens_per_sample());
    best = std::max(best, tokens * 1e9 / step_ns);
  }
  return best * (pace > 0 ? pace : 1) / degree;
}

Result<PlanReport> figures_of(const Plan& plan, const Pricer& pricer, int64_t global_batch) {
  return Figures(plan, pricer, global_batch).run();
}

}  // namespace skarv
