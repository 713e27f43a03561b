// Concurrent flows over shared wires: max-min fair rates, in integers.
//
// A flow has a rate of its own (what the link between its two ends gives to one message alone) and
// uses resources: NICs, uplinks, links between sites, each with a capacity. When what all flows ask
// of a resource exceeds it, rates are set by progressive filling: everybody's rate rises together
// until a resource is full or a flow has its own rate. A weight w on a resource stands for w equal
// flows of which one is simulated.
//
// Rates are whole bytes/s, rounded down, progress is exact: the answer does not depend on the order
// in which flows or resources were made. A flow that never shared ends after exactly its `solo_ns`.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace skarv {

struct WireUse {
  int resource = 0;
  int weight = 1;
};

class FlowPool {
 public:
  // Bytes/s, at least 1.
  int add_resource(int64_t capacity);
  int num_resources() const { return static_cast<int>(resources_.size()); }

  // Starts a flow; numbers are reused after finish(). `wires` outlives it. Call settle() before
  // time moves on.
  int start(int64_t now, int64_t bytes, int64_t solo_ns, std::span<const WireUse> wires);
  // REQUIRES: now is its end.
  void finish(int64_t now, int flow);
  // Sets the rates anew where something changed, and appends to `moved` the flows whose end did.
  void settle(int64_t now, std::vector<int>& moved);

  int64_t end(int flow) const { return flows_[flow].end; }
  // Rises with every new end, and with every reuse of the number.
  uint32_t version(int flow) const { return flows_[flow].version; }

 private:
  struct Flow {
    std::span<const WireUse> wires;
    __int128 remaining = 0;  // 1e-9 bytes, at `since`
    int64_t rate = 0, own_rate = 0;
    int64_t since = 0, end = 0;
    bool running = false, marked = false;
    uint32_t version = 0;
  };
  struct Resource {
    int64_t capacity = 0;
    __int128 wanted = 0;     // own rates of all its flows, weighted
    std::vector<int> flows;  // that use it
    bool dirty = false;
    // While rates are set.
    bool marked = false;
    int64_t left = 0, weight = 0;
  };
  bool is_tight(const Resource& resource) const { return resource.wanted > resource.capacity; }
  void mark(int resource);
  void fill(int64_t now, std::vector<int>& moved);
  void set_rate(int64_t now, Flow& flow, int64_t rate);

  std::vector<Flow> flows_;
  std::vector<Resource> resources_;
  std::vector<int> free_, fresh_, dirty_, component_, wires_;
};

}  // namespace skarv
