#include "plan/schedule/timed_schedule.h"

#include <algorithm>

#include "plan/memory/memory.h"
#include "plan/schedule/island_times.h"

namespace skarv {

Result<Schedule> build_timed_schedule(const Island& island, const Ownership& ownership,
                                      const SlabTable& table, const Run& run,
                                      const Cluster& cluster, const DeviceIndex& devices,
                                      const Profile& profile, const OrderOptions& options) {
  SKARV_ASSIGN(const Workload workload, Workload::from_run(run, profile));
  Schedule idle{island.devices(), {}};
  idle.actions.resize(idle.devices.size());
  SKARV_ASSIGN(const std::vector<DeviceMemory> memory,
               estimate_memory(idle, island, ownership, table, run, devices, profile));
  std::map<std::string, int64_t> activation_bytes;
  for (size_t rank = 0; rank < memory.size(); ++rank) {
    activation_bytes[idle.devices[rank]] = activation_room(memory[rank]);
  }
  SKARV_ASSIGN(const std::vector<PipelineTimes> times,
               island_times({island, workload, cluster, devices, profile}, activation_bytes));
  return build_schedule(island, ownership, table, run, times, options);
}

}  // namespace skarv
