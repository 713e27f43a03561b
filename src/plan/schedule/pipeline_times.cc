#include "plan/schedule/pipeline_times.h"

#include <algorithm>
#include <numeric>

#include "base/text.h"

namespace skarv {
namespace {

// A year, and more bytes than there are: sums over all pieces of work, a hundredfold, then stay in
// 63 bits.
constexpr int64_t kMostNs = int64_t{1} << 55, kMostBytes = int64_t{1} << 62;

Status refuse(const std::string& where, std::string message) {
  return Status(Code::kInvalidArgument, Scope::kConfig, std::move(message)).at(where);
}

Status check_sizes(const PipelineTimes& times) {
  const size_t num_stages = times.stages.size();
  if (num_stages == 0 || times.num_microbatches < 1) {
    return refuse("pipeline", cat("it has ", num_stages, " stages and ", times.num_microbatches,
                                  " microbatches"));
  }
  if (times.borders.size() != num_stages - 1 || times.worker_of_stage.size() != num_stages) {
    return refuse("pipeline",
                  cat(times.borders.size(), " borders and ", times.worker_of_stage.size(),
                      " assignments to workers do not suit ", num_stages, " stages"));
  }
  for (size_t s = 0; s < num_stages; ++s) {
    const int worker = times.worker_of_stage[s];
    if (worker < 0 || worker >= times.num_workers()) {
      return refuse(cat("stage ", s), cat("its worker is ", worker, " of ", times.num_workers()));
    }
  }
  return {};
}

}  // namespace

PipelineTimes straight_pipeline(std::vector<StageTimes> stages, int num_microbatches) {
  PipelineTimes times;
  times.borders.resize(stages.empty() ? 0 : stages.size() - 1);
  times.worker_of_stage.resize(stages.size());
  std::iota(times.worker_of_stage.begin(), times.worker_of_stage.end(), 0);
  times.memory_bytes.assign(stages.size(), kNoMemoryLimit);
  times.stages = std::move(stages);
  times.num_microbatches = num_microbatches;
  return times;
}

PipelineTimes with_whole_backwards(PipelineTimes times) {
  for (StageTimes& stage : times.stages) {
    stage.backward_input_ns += stage.backward_weight_ns;
    stage.backward_weight_ns = 0;
  }
  return times;
}

int64_t least_memory(const PipelineTimes& times, int worker) {
  int64_t kept = 0, added = 0;
  for (int s = 0; s < times.num_stages(); ++s) {
    if (times.worker_of_stage[s] != worker) continue;
    kept += times.stages[s].kept_bytes;
    added = std::max(added, times.stages[s].added_by_input());
  }
  return kept + added;
}

Status check_pipeline_times(const PipelineTimes& times) {
  SKARV_TRY(check_sizes(times));
  int64_t left_ns = kMostNs, left_bytes = kMostBytes;
  const auto take = [](int64_t& left, int64_t amount, int64_t count) {
    if (amount < 0 || amount > left / count) return false;
    left -= amount * count;
    return true;
  };
  for (int s = 0; s < times.num_stages(); ++s) {
    const StageTimes& stage = times.stages[s];
    for (int64_t ns : {stage.forward_ns, stage.backward_input_ns, stage.backward_weight_ns}) {
      if (!take(left_ns, ns, times.num_microbatches)) {
        return refuse(cat("stage ", s), cat(ns, " ns for one of ", times.num_microbatches,
                                            " microbatches is negative or beyond all measure"));
      }
    }
    if (!take(left_bytes, stage.kept_bytes, times.num_microbatches) ||
        stage.freed_by_input > stage.kept_bytes || stage.freed_by_input < -kMostBytes ||
        !take(left_bytes, stage.added_by_input(), times.num_microbatches)) {
      return refuse(cat("stage ", s),
                    cat("keeps ", stage.kept_bytes, " bytes a microbatch and frees ",
                        stage.freed_by_input, " of them with the backward for inputs"));
    }
  }
  for (size_t border = 0; border < times.borders.size(); ++border) {
    const BorderTimes& way = times.borders[border];
    for (const LaneTimes& lane : {way.activation, way.gradient}) {
      if (!take(left_ns, lane.transfer_ns, times.num_microbatches) ||
          !take(left_ns, lane.latency_ns, 1)) {
        return refuse(cat("border ", border), cat("a message takes ", lane.transfer_ns, " ns and ",
                                                  lane.latency_ns, " ns on its way"));
      }
    }
  }
  for (int worker = 0; worker < times.num_workers(); ++worker) {
    const int64_t needed = least_memory(times, worker);
    if (needed <= times.memory_bytes[worker]) continue;
    return Status(Code::kResourceExhausted, Scope::kConfig,
                  cat("one microbatch in every stage of worker ", worker, " keeps ", needed,
                      " bytes, its limit is ", times.memory_bytes[worker]))
        .at(cat("worker ", worker))
        .with_hint("take a smaller microbatch, recompute, or give it fewer layers");
  }
  return {};
}

}  // namespace skarv
