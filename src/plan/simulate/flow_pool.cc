#include "plan/simulate/flow_pool.h"

#include <algorithm>
#include <limits>

namespace skarv {
namespace {

constexpr int64_t kNano = 1'000'000'000;
constexpr int64_t kNever = std::numeric_limits<int64_t>::max() / 4;

}  // namespace

int FlowPool::add_resource(int64_t capacity) {
  resources_.emplace_back().capacity = std::max<int64_t>(capacity, 1);
  return num_resources() - 1;
}

int FlowPool::start(int64_t now, int64_t bytes, int64_t solo_ns, std::span<const WireUse> wires) {
  int index = static_cast<int>(flows_.size());
  if (free_.empty()) {
    flows_.emplace_back();
  } else {
    index = free_.back();
    free_.pop_back();
  }
  Flow& flow = flows_[index];
  flow.wires = wires;
  flow.remaining = static_cast<__int128>(bytes) * kNano;
  const __int128 rate = solo_ns > 0 ? flow.remaining / solo_ns : 0;
  flow.own_rate = rate > kNever ? kNever : std::max<int64_t>(static_cast<int64_t>(rate), 1);
  flow.rate = flow.own_rate;
  flow.since = now;
  flow.end = now + solo_ns;
  flow.running = true;
  ++flow.version;
  for (const WireUse& use : wires) {
    Resource& resource = resources_[use.resource];
    resource.wanted += static_cast<__int128>(flow.own_rate) * use.weight;
    resource.flows.push_back(index);
    if (is_tight(resource)) mark(use.resource);
  }
  fresh_.push_back(index);
  return index;
}

void FlowPool::finish(int64_t, int index) {
  Flow& flow = flows_[index];
  flow.running = false;
  for (const WireUse& use : flow.wires) {
    Resource& resource = resources_[use.resource];
    if (is_tight(resource)) mark(use.resource);
    resource.wanted -= static_cast<__int128>(flow.own_rate) * use.weight;
    const auto place = std::ranges::find(resource.flows, index);
    *place = resource.flows.back();
    resource.flows.pop_back();
  }
  free_.push_back(index);
}

void FlowPool::mark(int resource) {
  if (resources_[resource].dirty) return;
  resources_[resource].dirty = true;
  dirty_.push_back(resource);
}

void FlowPool::settle(int64_t now, std::vector<int>& moved) {
  for (int flow : fresh_) {
    if (flows_[flow].running) moved.push_back(flow);
  }
  if (!dirty_.empty()) fill(now, moved);
  fresh_.clear();
}

// Everything that hangs together with a changed resource by way of tight ones. Resources that give
// all their flows what they ask for bind nobody and are left out.
void FlowPool::fill(int64_t now, std::vector<int>& moved) {
  component_.clear();
  wires_.clear();
  for (int resource : dirty_) {
    resources_[resource].dirty = false;
    resources_[resource].marked = true;
    wires_.push_back(resource);
  }
  dirty_.clear();
  for (size_t next = 0; next < wires_.size(); ++next) {
    for (int index : resources_[wires_[next]].flows) {
      Flow& flow = flows_[index];
      if (flow.marked) continue;
      flow.marked = true;
      component_.push_back(index);
      for (const WireUse& use : flow.wires) {
        Resource& other = resources_[use.resource];
        if (other.marked || !is_tight(other)) continue;
        other.marked = true;
        wires_.push_back(use.resource);
      }
    }
  }
  std::erase_if(wires_, [&](int index) {
    Resource& resource = resources_[index];
    resource.left = resource.capacity;
    resource.weight = 0;
    if (!is_tight(resource)) resource.marked = false;
    return !resource.marked;
  });
  for (int index : component_) {
    for (const WireUse& use : flows_[index].wires) resources_[use.resource].weight += use.weight;
  }
  std::vector<int> open = component_;
  while (!open.empty()) {
    int64_t share = kNever;
    for (int wire : wires_) {
      const Resource& resource = resources_[wire];
      if (resource.weight > 0) share = std::min(share, resource.left / resource.weight);
    }
    int64_t least_own = kNever;
    for (int index : open) least_own = std::min(least_own, flows_[index].own_rate);
    const bool by_own = least_own <= share;
    const int64_t rate = std::max<int64_t>(by_own ? least_own : share, 1);
    // Who is bound at this rate is decided before anything is taken from the wires.
    const auto is_bound = [&](int index) {
      if (by_own) return flows_[index].own_rate == least_own;
      return std::ranges::any_of(flows_[index].wires, [&](const WireUse& use) {
        const Resource& resource = resources_[use.resource];
        return resource.marked && resource.left / resource.weight == share;
      });
    };
    const auto bound = std::ranges::stable_partition(open, [&](int i) { return !is_bound(i); });
    for (int index : bound) {
      Flow& flow = flows_[index];
      for (const WireUse& use : flow.wires) {
        Resource& resource = resources_[use.resource];
        if (!resource.marked) continue;
        resource.weight -= use.weight;
        resource.left = std::max<int64_t>(resource.left - rate * use.weight, 0);
      }
      const int64_t before = flow.end;
      set_rate(now, flow, rate);
      flow.marked = false;
      if (flow.end != before && std::ranges::find(fresh_, index) == fresh_.end()) {
        moved.push_back(index);
      }
    }
    open.erase(bound.begin(), bound.end());
  }
  for (int wire : wires_) resources_[wire].marked = false;
}

void FlowPool::set_rate(int64_t now, Flow& flow, int64_t rate) {
  if (rate == flow.rate) return;
  flow.remaining -= static_cast<__int128>(flow.rate) * (now - flow.since);
  if (flow.remaining < 0) flow.remaining = 0;
  flow.since = now;
  flow.rate = rate;
  const __int128 left = (flow.remaining + rate - 1) / rate;
  const int64_t end = left > kNever ? kNever : now + static_cast<int64_t>(left);
  // With next to nothing left another rate may mean the same end: what waits for it stays valid.
  if (end == flow.end) return;
  flow.end = end;
  ++flow.version;
}

}  // namespace skarv
