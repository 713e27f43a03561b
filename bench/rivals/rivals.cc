#include "rivals/rivals.h"

#include <algorithm>
#include <functional>
#include <map>
#include <numeric>

#include "base/random.h"
#include "base/text.h"

namespace skarv {
namespace {

using Devices = std::vector<const DeviceInfo*>;

double speed_of(const DeviceInfo* device) { return device->chip.dense_flops.value; }

// Whole parts in proportion to the weights, each at least `least`; empty if there are too few.
std::vector<int64_t> share(int64_t total, const std::vector<double>& weights, int64_t least) {
  if (total < least * std::ssize(weights)) return {};
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  std::vector<int64_t> parts;
  for (double weight : weights) {
    parts.push_back(
        std::max(least, static_cast<int64_t>(weight / sum * static_cast<double>(total))));
  }
  int64_t left = total - std::accumulate(parts.begin(), parts.end(), int64_t{0});
  for (size_t i = 0; left != 0; i = (i + 1) % parts.size()) {
    if (left > 0) {
      ++parts[i];
      --left;
    } else if (parts[i] > least) {
      --parts[i];
      ++left;
    }
  }
  return parts;
}

// A pipeline on these devices in order; layers in proportion to the stages' speed.
std::optional<Pipeline> pipeline_on(const Devices& devices, int degree, int num_layers,
                                    Recompute recompute, int microbatch) {
  Pipeline pipeline;
  pipeline.microbatch = microbatch;
  std::vector<double> speeds;
  for (size_t i = 0; i + degree <= devices.size(); i += degree) {
    Stage& stage = pipeline.stages.emplace_back();
    stage.tensor_parallel = degree;
    stage.recompute = recompute;
    for (int member = 0; member < degree; ++member) {
      const DeviceInfo& device = *devices[i + member];
      if (device.host != devices[i]->host || device.chip.name != devices[i]->chip.name) {
        return std::nullopt;
      }
      stage.devices.push_back(device.name);
    }
    speeds.push_back(speed_of(devices[i]));
  }
  if (speeds.empty()) return std::nullopt;
  const std::vector<int64_t> layers = share(num_layers, speeds, 1);
  if (layers.empty()) return std::nullopt;
  int first = 0;
  for (size_t s = 0; s < layers.size(); ++s) {
    pipeline.stages[s].first = first;
    first += static_cast<int>(layers[s]);
    pipeline.stages[s].last = first;
  }
  return pipeline;
}

// First half of the fastest type, the others, second half of the fastest.
Devices in_blocks(const Devices& devices, int replica, int num_replicas) {
  std::map<double, Devices, std::greater<>> by_speed;
  for (const DeviceInfo* device : devices) by_speed[speed_of(device)].push_back(device);
  Devices front, middle, back;
  bool is_fastest = true;
  for (const auto& [speed, type] : by_speed) {
    const size_t each = type.size() / num_replicas;
    for (size_t i = 0; i < each; ++i) {
      const DeviceInfo* device = type[replica * each + i];
      (!is_fastest ? middle : i < each / 2 ? front : back).push_back(device);
    }
    is_fastest = false;
  }
  front.insert(front.end(), middle.begin(), middle.end());
  front.insert(front.end(), back.begin(), back.end());
  return front;
}

enum class Kind { kEven, kProportional, kBlocks };
constexpr std::pair<Kind, const char*> kKinds[] = {{Kind::kEven, "uniform, even samples"},
                                                   {Kind::kProportional, "uniform, by speed"},
                                                   {Kind::kBlocks, "blocks"}};
constexpr int kDegrees[] = {1, 2, 4, 8};
constexpr int kDepths[] = {1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 64};
constexpr int kMicrobatches[] = {1, 2, 4};
constexpr size_t kMostAtOnce = 3;  // changes
constexpr Recompute kRecomputes[] = {Recompute::kNone, Recompute::kFull};

std::optional<Plan> make_plan_of(const Run& run, const std::map<std::string, Devices>& sites,
                                 Kind kind, int degree, int depth, int microbatch,
                                 Recompute recompute) {
  Plan plan;
  plan.model = digest_of(run.model);
  std::vector<double> weights;
  for (const auto& [site, devices] : sites) {
    Island& island = plan.islands.emplace_back();
    island.name = site;
    const auto width = static_cast<size_t>(degree * depth);
    const int num_replicas = static_cast<int>(devices.size() / width);
    if (num_replicas == 0) return std::nullopt;
    for (int replica = 0; replica < num_replicas; ++replica) {
      const auto begin = devices.begin() + static_cast<std::ptrdiff_t>(replica * width);
      const Devices mine = kind == Kind::kBlocks
                               ? in_blocks(devices, replica, num_replicas)
                               : Devices(begin, begin + static_cast<std::ptrdiff_t>(width));
      auto pipeline = pipeline_on(mine, degree, run.model.num_layers(), recompute, microbatch);
      if (!pipeline) return std::nullopt;
      island.pipelines.push_back(std::move(*pipeline));
      double speed = 0;
      for (const DeviceInfo* device : mine) speed += speed_of(device);
      weights.push_back(kind == Kind::kEven ? 1 : speed);
    }
  }
  const std::vector<int64_t> samples = share(run.global_batch, weights, 1);
  if (samples.empty()) return std::nullopt;
  size_t next = 0;
  for (Island& island : plan.islands) {
    for (Pipeline& pipeline : island.pipelines) pipeline.samples = samples[next++];
  }
  return plan;
}

// Stages of the pipeline that have a device of this one.
int64_t seats_of(const Pipeline& pipeline, const Stage& stage) {
  return std::ranges::count_if(pipeline.stages, [&](const Stage& other) {
    return std::ranges::any_of(other.devices, [&](const std::string& device) {
      return std::ranges::find(stage.devices, device) != stage.devices.end();
    });
  });
}

// One of the kinds of change. False: it made no sense.
template <typename Draw>
bool change_once(size_t num_islands, const Draw& draw,
                 const std::function<Island&(size_t)>& island_at) {
  const size_t first = draw(num_islands);
  Island& island = island_at(first);
  const size_t p = draw(island.pipelines.size());
  Pipeline& pipeline = island.pipelines[p];
  const size_t s = draw(pipeline.stages.size());
  switch (draw(7)) {
    case 0: {  // in this pipeline or in all of the island with as many stages
      if (s + 1 == pipeline.stages.size()) return false;
      const int by = draw(2) == 0 ? 1 : -1;
      const bool in_all = draw(2) == 0;
      for (Pipeline& other : island.pipelines) {
        if (&other != &pipeline && (!in_all || other.stages.size() <= s + 1)) continue;
        Stage &left = other.stages[s], &right = other.stages[s + 1];
        left.last += by;
        right.first += by;
        if (left.last <= left.first || right.last <= right.first) return false;
      }
      return true;
    }
    case 1: {
      Island& target = island_at(draw(num_islands));
      Pipeline& other = target.pipelines[draw(target.pipelines.size())];
      const auto moved = static_cast<int64_t>(1 + draw(3));
      if (&other == &pipeline || pipeline.samples <= moved) return false;
      pipeline.samples -= moved;
      other.samples += moved;
      return true;
    }
    case 2: {
      const int size = 1 << draw(4);
      bool is_new = false;
      for (Pipeline& other : island.pipelines) {
        is_new |= other.microbatch != size;
        other.microbatch = size;
      }
      if (!is_new) return false;
      return true;
    }
    case 3:
      for (Pipeline& other : island.pipelines) {
        other.schedule = other.schedule == "1f1b" ? "zero-bubble" : "1f1b";
      }
      return true;
    case 4: {
      Recompute& recompute = pipeline.stages[s].recompute;
      recompute = recompute == Recompute::kFull ? Recompute::kNone : Recompute::kFull;
      return true;
    }
    case 5: {
      Pipeline& other = island.pipelines[draw(island.pipelines.size())];
      Stage& mine = pipeline.stages[s];
      Stage& stage = other.stages[draw(other.stages.size())];
      if (stage.devices == mine.devices || stage.tensor_parallel != mine.tensor_parallel) {
        return false;
      }
      // A device of an interleaved pipeline stays where its other stages are.
      if (&other != &pipeline && (seats_of(pipeline, mine) > 1 || seats_of(other, stage) > 1)) {
        return false;
      }
      std::swap(stage.devices, mine.devices);
      return true;
    }
    default: {
      if (island.pipelines.size() < 2) return false;
      const int64_t freed = pipeline.samples;
      island.pipelines.erase(island.pipelines.begin() + static_cast<std::ptrdiff_t>(p));
      island.pipelines[draw(island.pipelines.size())].samples += freed;
      return true;
    }
  }
}

}  // namespace

Rivals::Rivals(const Run& run, const Cluster& cluster)
    : run_(run), devices_(expand_devices(cluster).value()) {
  for (const DeviceInfo& device : devices_) sites_[device.site].push_back(&device);
}

int Rivals::size() {
  return static_cast<int>(std::size(kKinds) * std::size(kDegrees) * std::size(kDepths) *
                          std::size(kMicrobatches) * 2);
}

std::optional<Rival> Rivals::make(int index) const {
  const auto next = [&index](const auto& choices) {
    const auto drawn = static_cast<size_t>(index) % std::size(choices);
    index /= static_cast<int>(std::size(choices));
    return choices[drawn];
  };
  const Recompute recompute = next(kRecomputes);
  const int microbatch = next(kMicrobatches), depth = next(kDepths), degree = next(kDegrees);
  const auto [kind, name] = next(kKinds);
  if (run_.model.num_heads % degree != 0 || run_.model.num_kv_heads % degree != 0) {
    return std::nullopt;
  }
  auto plan = make_plan_of(run_, sites_, kind, degree, depth, microbatch, recompute);
  if (!plan) return std::nullopt;
  return Rival{cat(name, ", tp ", degree, ", pp ", depth, ", microbatch ", microbatch,
                   recompute == Recompute::kFull ? ", recompute" : ""),
               std::move(*plan)};
}

Plan with_change(Plan plan, const Change& change) {
  for (const auto& [index, island] : change.islands) plan.islands[index] = island;
  return plan;
}

std::optional<Change> mutate(const Plan& plan, uint64_t seed) {
  const CounterRandom random(seed, "mutation");
  uint64_t drawn = 0;
  const auto draw = [&](size_t bound) { return random.below(drawn++, bound); };
  std::map<size_t, Island> changed;  // its islands stay where they are
  const auto island_at = [&](size_t index) -> Island& {
    const auto found = changed.find(index);
    return found != changed.end() ? found->second
                                  : changed.emplace(index, plan.islands[index]).first->second;
  };
  for (size_t left = 1 + draw(kMostAtOnce); left > 0; --left) {
    if (!change_once(plan.islands.size(), draw, island_at)) return std::nullopt;
  }
  Change change;
  for (auto& [index, island] : changed) change.islands.emplace_back(index, std::move(island));
  return change;
}

}  // namespace skarv
