#include "plan/search/price.h"

#include "plan/schedule/timed_schedule.h"

namespace skarv {

int IslandPrice::fullest_overflow() const {
  int worst = -1;
  int64_t most = 0;
  for (size_t rank = 0; rank < memory.size(); ++rank) {
    const int64_t over = memory[rank].total() - memory[rank].limit;
    if (over > most) {
      most = over;
      worst = static_cast<int>(rank);
    }
  }
  return worst;
}

Result<IslandPrice> price_island(const Island& island, const Plan& plan, const Market& market,
                                 const OrderOptions& order) {
  IslandPrice price;
  price.ownership = ownership_of(island, plan, market.table);
  SKARV_ASSIGN(const Schedule schedule,
               build_timed_schedule(island, price.ownership, market.table, market.run,
                                    market.cluster, market.devices, market.profile, order));
  SKARV_ASSIGN(const IslandCost cost,
               IslandCost::create(island, price.ownership, market.table, market.run, market.cluster,
                                  market.devices, market.profile));
  SKARV_ASSIGN(price.trace, simulate(schedule, island, price.ownership, cost, market.cluster,
                                     market.devices, market.profile));
  SKARV_ASSIGN(price.memory, estimate_memory(schedule, island, price.ownership, market.table,
                                             market.run, market.devices, market.profile));
  return price;
}

Result<AloneTime> alone_time(const DeviceInfo& device, int microbatch, const Market& market) {
  const Model& model = market.run.model;
  const double pace = device.pace > 0 ? device.pace : 1;
  AloneTime alone;
  for (int layer : {0, 1, model.head_layer()}) {
    SKARV_ASSIGN(const LayerTime time, layer_time(market.profile, device.chip.name,
                                                  kind_of_layer(model, layer), microbatch, 1));
    const double count = layer == 1 ? static_cast<double>(model.num_blocks) : 1;
    alone.per_sample +=
        count * (time.forward + time.backward_input + time.backward_weight) / (microbatch * pace);
    alone.update += count * time.update / pace;
  }
  return alone;
}

}  // namespace skarv
