// The shapes of an island that the planner compares for the devices of one site.
#pragma once

#include "plan/search/price.h"

namespace skarv {

struct Candidate {
  Island island;
  std::map<std::string, double> owner_share;
  std::vector<IdleDevice> idle;
};

// For one microbatch size and a number of samples a step:
// * data parallel: every device a pipeline of its own, samples in proportion to speed, optimizer
//   shares too; a device that would get no whole sample stays idle;
// * one pipeline through all devices, from fast to slow and from slow to fast, layers cut so that
//   the slowest stage is fastest; 1F1B and zero-bubble.
// A device too slow for either keeps out of it with the reason.
Result<std::vector<Candidate>> candidates_of(const std::string& site,
                                             const std::vector<DeviceInfo>& devices, int microbatch,
                                             int64_t samples, Recompute recompute,
                                             const Market& market);

// Microbatch sizes that the profile has blocks of for every one of the chips.
std::vector<int> microbatches_of(const std::vector<DeviceInfo>& devices, const Profile& profile);

}  // namespace skarv
