#include "plan/schedule/order_cache.h"

#include "base/bytes.h"

namespace skarv {
namespace {

constexpr size_t kMostWorks = 4'000'000;    // pieces of work, 12 bytes each
constexpr size_t kMostMakespans = 100'000;  // some 500 bytes each

// Everything that an order follows from, as bytes.
std::string key_of(const OrderRule& rule, const PipelineTimes& times, const OrderOptions& options) {
  std::string key = rule.name;
  const auto add = [&key](int64_t number) { append_bytes(key, number); };
  for (int64_t number : {static_cast<int64_t>(options.objective), options.max_pieces,
                         static_cast<int64_t>(options.seed), int64_t{times.num_microbatches},
                         int64_t{times.num_stages()}, int64_t{times.num_workers()}}) {
    add(number);
  }
  for (const StageTimes& stage : times.stages) {
    for (int64_t number : {stage.forward_ns, stage.backward_input_ns, stage.backward_weight_ns,
                           stage.kept_bytes, stage.freed_by_input}) {
      add(number);
    }
  }
  for (const BorderTimes& border : times.borders) {
    for (const LaneTimes& lane : {border.activation, border.gradient}) {
      add(lane.transfer_ns);
      add(lane.latency_ns);
    }
  }
  for (int worker : times.worker_of_stage) add(worker);
  for (int64_t bytes : times.memory_bytes) add(bytes);
  return key;
}

}  // namespace

const OrderedPipeline* OrderCache::find(const OrderRule& rule, const PipelineTimes& times,
                                        const OrderOptions& options) const {
  const auto known = orders_.find(key_of(rule, times, options));
  return known == orders_.end() ? nullptr : &known->second;
}

void OrderCache::add(const OrderRule& rule, const PipelineTimes& times, const OrderOptions& options,
                     OrderedPipeline order) {
  size_t num_works = 0;
  for (const std::vector<Work>& list : order.work) num_works += list.size();
  if (num_works_ + num_works > kMostWorks) {
    orders_.clear();
    num_works_ = 0;
  }
  num_works_ += num_works;
  orders_.insert_or_assign(key_of(rule, times, options), std::move(order));
}

int64_t OrderCache::makespan(const OrderRule& rule, const PipelineTimes& times,
                             const OrderOptions& options) const {
  const auto known = makespans_.find(key_of(rule, times, options));
  return known == makespans_.end() ? -1 : known->second;
}

void OrderCache::add_makespan(const OrderRule& rule, const PipelineTimes& times,
                              const OrderOptions& options, int64_t ns) {
  if (makespans_.size() >= kMostMakespans) makespans_.clear();
  makespans_.insert_or_assign(key_of(rule, times, options), ns);
}

}  // namespace skarv
