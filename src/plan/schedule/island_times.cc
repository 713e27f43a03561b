#include "plan/schedule/island_times.h"

#include <algorithm>
#include <cmath>

#include "base/text.h"
#include "plan/cost/host_copy.h"
#include "plan/cost/link_cost.h"
#include "plan/memory/memory.h"
#include "plan/schedule/builder.h"
#include "spec/stage_map.h"

namespace skarv {
namespace {

// Whole quarters of one microbatch, at least one and at most all: so that replicas whose optimizer
// shares differ by a slab have the same limit, and the same order.
int64_t useful_memory(int64_t limit, int64_t one, int num_microbatches) {
  if (one == 0) return 0;
  const __int128 quarters = static_cast<__int128>(std::max(limit, one)) * 4 / one;
  const __int128 most = static_cast<__int128>(num_microbatches) * 4;
  return static_cast<int64_t>(std::min(quarters, most) * one / 4);
}

class Timing {
 public:
  Timing(const IslandView& view, const std::map<std::string, int64_t>& activation_bytes)
      : view_(view), activation_bytes_(activation_bytes), map_(view.island) {}

  Result<PipelineTimes> of(int index) const {
    const Pipeline& pipeline = view_.island.pipelines[index];
    PipelineTimes times;
    times.num_microbatches = pipeline.num_microbatches();
    times.worker_of_stage = workers_of_stages(map_, index);
    for (const Stage& stage : pipeline.stages) {
      SKARV_ASSIGN(times.stages.emplace_back(), stage_times(stage, pipeline.microbatch_size(0)));
    }
    for (size_t s = 0; s + 1 < pipeline.stages.size(); ++s) {
      SKARV_ASSIGN(times.borders.emplace_back(), border_times(pipeline, static_cast<int>(s)));
    }
    SKARV_TRY(limit_memory(pipeline, times));
    return times;
  }

 private:
  Result<const DeviceInfo*> device(const std::string& name) const {
    const auto found = view_.devices.find(name);
    if (found != view_.devices.end()) return &found->second;
    return Status(Code::kNotFound, Scope::kConfig, cat("the cluster has no device ", name))
        .with_hint("check the plan: check_plan names the place");
  }

  Result<StageTimes> stage_times(const Stage& stage, int samples) const {
    StageTimes slowest;
    for (const std::string& name : stage.devices) {
      SKARV_ASSIGN(const DeviceInfo* info, device(name));
      SKARV_ASSIGN(const StageTimes times, nominal_times(stage, info->chip.name, samples));
      const double pace = info->pace > 0 ? info->pace : 1;
      const auto paced = [pace](int64_t nominal) {
        return pace == 1 ? nominal : std::llround(static_cast<double>(nominal) / pace);
      };
      slowest.forward_ns = std::max<int64_t>(slowest.forward_ns, paced(times.forward_ns));
      slowest.backward_input_ns =
          std::max<int64_t>(slowest.backward_input_ns, paced(times.backward_input_ns));
      slowest.backward_weight_ns =
          std::max<int64_t>(slowest.backward_weight_ns, paced(times.backward_weight_ns));
    }
    return slowest;
  }

  Result<StageTimes> nominal_times(const Stage& stage, const std::string& chip, int samples) const {
    StageTimes times;
    LayerCost cost;
    for (int layer = stage.first; layer < stage.last; ++layer) {
      if (layer == stage.first || view_.workload.kind(layer) != view_.workload.kind(layer - 1)) {
        SKARV_ASSIGN(cost, view_.workload.cost(chip, layer, samples, stage.tensor_parallel));
      }
      times.forward_ns += cost.forward_ns;
      times.backward_input_ns += cost.backward_input_ns;
      times.backward_weight_ns += cost.backward_weight_ns;
    }
    if (stage.recompute == Recompute::kFull) times.backward_input_ns += times.forward_ns;
    return times;
  }

  // As plan/memory counts; the products that wait for the weights' half after a recomputation are
  // as large as what would have been kept without. Returns what else has to stay free.
  Result<int64_t> add_memory(const Stage& stage, bool is_first, bool is_last, int samples,
                             StageTimes& times) const {
    SKARV_ASSIGN(const DeviceInfo* info, device(stage.devices.front()));
    Pipeline alone;
    alone.stages = {stage};
    SKARV_ASSIGN(const StageBytes bytes, bytes_of_stage(alone, 0, !is_first, !is_last, samples,
                                                        info->chip.name, view_.workload));
    alone.stages[0].recompute = Recompute::kNone;
    SKARV_ASSIGN(const StageBytes whole, bytes_of_stage(alone, 0, !is_first, !is_last, samples,
                                                        info->chip.name, view_.workload));
    times.kept_bytes = bytes.kept;
    times.freed_by_input = std::min<int64_t>(0, bytes.kept - whole.kept);
    // What a layer makes anew is counted with those products; the gradient that came is beside it.
    return bytes.gradient + std::max<int64_t>(0, bytes.input_transient + times.freed_by_input);
  }

  Result<BorderTimes> border_times(const Pipeline& pipeline, int border) const {
    const Stage& from = pipeline.stages[border];
    const Stage& to = pipeline.stages[border + 1];
    const int64_t bytes =
        view_.workload.size(from.last - 1).output_bytes * pipeline.microbatch_size(0);
    LaneTimes slowest;
    const size_t num_pairs = std::max(from.devices.size(), to.devices.size());
    for (size_t i = 0; i < num_pairs; ++i) {
      const std::string& a = from.devices[i % from.devices.size()];
      const std::string& b = to.devices[i % to.devices.size()];
      if (a == b) continue;
      SKARV_ASSIGN(const DeviceInfo* sender, device(a));
      SKARV_ASSIGN(const DeviceInfo* receiver, device(b));
      SKARV_ASSIGN(const LinkCost link, link_cost(*sender, *receiver, view_.cluster, view_.links));
      slowest.transfer_ns = std::max(slowest.transfer_ns, link.transfer_ns(bytes));
      const int64_t copies = (bytes * host_copy_ns_per_mib(*sender, *receiver)) >> 20;
      slowest.latency_ns = std::max(slowest.latency_ns, link.latency_ns + copies);
    }
    return BorderTimes{slowest, slowest};
  }

  Status limit_memory(const Pipeline& pipeline, PipelineTimes& times) const {
    const int num_workers = 1 + *std::ranges::max_element(times.worker_of_stage);
    times.memory_bytes.assign(num_workers, kNoMemoryLimit);
    std::vector<int64_t> spare(num_workers, 0);
    for (int s = 0; s < times.num_stages(); ++s) {
      const int worker = times.worker_of_stage[s];
      SKARV_ASSIGN(const int64_t passing,
                   add_memory(pipeline.stages[s], s == 0, s + 1 == times.num_stages(),
                              pipeline.microbatch_size(0), times.stages[s]));
      spare[worker] = std::max(spare[worker], passing);
      for (const std::string& name : pipeline.stages[s].devices) {
        const auto found = activation_bytes_.find(name);
        if (found == activation_bytes_.end()) continue;
        times.memory_bytes[worker] = std::min(times.memory_bytes[worker], found->second);
      }
    }
    for (int worker = 0; worker < num_workers; ++worker) {
      int64_t& limit = times.memory_bytes[worker];
      limit =
          useful_memory(limit - spare[worker], least_memory(times, worker), times.num_microbatches);
    }
    return {};
  }

  const IslandView& view_;
  const std::map<std::string, int64_t>& activation_bytes_;
  const StageMap map_;
};

}  // namespace

Result<std::vector<PipelineTimes>> island_times(
    const IslandView& view, const std::map<std::string, int64_t>& activation_bytes) {
  const Timing timing(view, activation_bytes);
  std::vector<PipelineTimes> all;
  for (size_t i = 0; i < view.island.pipelines.size(); ++i) {
    SKARV_ASSIGN(all.emplace_back(), timing.of(static_cast<int>(i)));
  }
  return all;
}

}  // namespace skarv
