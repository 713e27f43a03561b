#include "fit.h"

#include "base/text.h"
#include "plan/search/planner.h"

namespace skarv {

Status check_fits(const PlanReport& report, const Cluster& cluster) {
  for (const DeviceReport& device : report.devices) {
    if (device.memory.fits()) continue;
    return Status(Code::kResourceExhausted, Scope::kConfig,
                  cat(device.device, " needs ",
                      human_bytes(static_cast<double>(device.memory.total())), " of ",
                      human_bytes(static_cast<double>(device.memory.limit))))
        .at(device.device)
        .with_hint(
            "give it fewer layers or smaller microbatches, or take the plan of `skarv plan`");
  }
  return check_keeper_memory(report, cluster);
}

}  // namespace skarv
