// Measuring devices with skarv-worker; `skarv train` does it too when no profile was given.
#pragma once

#include "progress.h"
#include "spec/cluster.h"
#include "spec/profile.h"
#include "spec/run.h"

namespace skarv {

// Every chip of the cluster once, on this machine; links as the cluster file states them.
Result<Profile> measure_profile(const Run& run, const Cluster& cluster, Progress& progress);

}  // namespace skarv
