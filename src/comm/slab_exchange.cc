#include "comm/slab_exchange.h"

#include "spec/cluster.h"

namespace skarv::comm {
bool one_maker_and_site(const ReduceGroup& group, const std::vector<std::string>& devices,
                        const std::vector<std::string>& makers) {
  const int first = group.members.front();
  for (int member : group.members) {
    if (makers[member] != makers[first] || site_of(devices[member]) != site_of(devices[first])) {
      return false;
    }
  }
  return true;
}

Result<std::unique_ptr<SlabExchange>> make_slab_exchange(const GroupContext& context, Edges& edges,
                                                         const std::vector<std::string>& makers) {
  const bool alone = context.group->members.size() == 1;
  if (!alone && one_maker_and_site(*context.group, context.ownership->devices, makers)) {
    return make_gloo_exchange(context, edges.rank());
  }
  return make_net_exchange(context, edges);
}

}  // namespace skarv::comm
