// How the ranks that hold the same slabs (spec/ownership.h, ReduceGroup) bring gradients to the
// slabs' owners and weights back. Two implementations: c10d's Gloo where all members are of one
// maker in one site, and the island's edges (net) across makers or sites.
//
// All members make the same calls in the same order. One thread. After an error the exchange is of
// no use; a new incarnation makes a new one.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "comm/edges.h"
#include "spec/ownership.h"

namespace skarv::comm {

// The elements of a slab as a 1-D contiguous view, gradients fp32, weights in compute precision.
using SlabView = std::function<at::Tensor(int slab)>;

// What an exchange did, for the trace and the pacing.
struct Exchanged {
  int64_t bytes = 0;  // sent by this rank, payload only, as spec/traffic.h counts
  Time arrived{};     // when the last bytes of others were there
};

class SlabExchange {
 public:
  virtual ~SlabExchange() = default;

  // Sums the gradients of `slabs` (of the group, ascending) over the members into the view of each
  // slab's owner; elsewhere the views keep or lose their values. The order of the sum is fixed.
  virtual Result<Exchanged> reduce(const std::vector<int>& slabs, const SlabView& gradients,
                                   Duration patience) = 0;
  // Copies the owners' values of `slabs` into the views of all members.
  virtual Result<Exchanged> gather(const std::vector<int>& slabs, const SlabView& values,
                                   Duration patience) = 0;
};

struct GroupContext {
  int index = 0;  // of the group
  const ReduceGroup* group = nullptr;
  const Ownership* ownership = nullptr;
  const SlabTable* table = nullptr;
  Device device;
  int64_t incarnation = 0;
  std::string store;               // folder shared by the members' hosts, for Gloo's rendezvous
  std::string host = "127.0.0.1";  // address of this rank that Gloo binds to
  Duration patience{};             // longest wait for a member, at construction too (Gloo)
};

// True when the members (by rank: device name, maker) may form a c10d group.
bool one_maker_and_site(const ReduceGroup& group, const std::vector<std::string>& devices,
                        const std::vector<std::string>& makers);

// Picks by one_maker_and_site. `edges` outlives it and has edges between all members.
// REQUIRES: this rank is a member. All members call it in ascending order of their groups.
Result<std::unique_ptr<SlabExchange>> make_slab_exchange(const GroupContext& context, Edges& edges,
                                                         const std::vector<std::string>& makers);

// Each on its own, for tests.
std::unique_ptr<SlabExchange> make_net_exchange(const GroupContext& context, Edges& edges);
Result<std::unique_ptr<SlabExchange>> make_gloo_exchange(const GroupContext& context, int rank);

}  // namespace skarv::comm
