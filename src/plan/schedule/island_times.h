// What the pipelines of an island are to those who order their work.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "plan/cost/device_index.h"
#include "plan/cost/workload.h"
#include "plan/schedule/pipeline_times.h"
#include "spec/plan.h"
#include "spec/profile.h"

namespace skarv {

struct IslandView {
  const Island& island;
  const Workload& workload;
  const Cluster& cluster;
  const DeviceIndex& devices;
  const Profile& links;
};

// By pipeline, for whole microbatches (a smaller last one counts as whole): the slowest device of
// every stage, at its pace; the slowest message of every border; the worker's tightest device.
// Memory as plan/memory counts it; with recomputation the backward for inputs adds what it made
// anew for the weights. `activation_bytes`: what each device has left for activations; absent: no
// limit. Limits are rounded down to quarters of a microbatch, and none is above all microbatches. A
// limit below one microbatch a stage counts as that much, so that every plan has a schedule:
// whether a plan fits is for plan/memory to say. Error: a gap in the times, a missing link, an
// unknown device.
Result<std::vector<PipelineTimes>> island_times(
    const IslandView& view, const std::map<std::string, int64_t>& activation_bytes = {});

}  // namespace skarv
