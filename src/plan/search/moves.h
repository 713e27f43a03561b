// What devices have to receive before another plan can run.
#pragma once

#include "spec/plan.h"
#include "spec/profile.h"

namespace skarv {

struct Moves {
  int64_t bytes = 0;   // weights and optimizer state that devices do not have yet
  double seconds = 0;  // until the last host and site have received it and workers run again
};

// Devices lack the layers that the new plan gives them, or hold another part of them (another
// tensor parallelism): their weights, and the owner's part of the optimizer state, by the layer's
// holders. It takes as long as the host that lacks most; layers that a whole site lacks come once
// over its fastest link, and then the workers start again. Nothing for the same plan.
Moves moves_between(const Plan& from, const Plan& to, const Run& run, const Cluster& cluster);

// The new plan's equal hosts change places, so that as many devices as can be hold on to their
// layers: a search deals hosts out in the order of their names, whoever is gone. Hosts with devices
// or links of their own in the profile stay where they are.
void rename_to_stay(const Plan& from, const Cluster& cluster, const Profile& profile, Plan& to);

}  // namespace skarv
