// Measures one device: seconds of each kind of layer, forward, both backwards and update, at
// several microbatches; bytes that activations keep and what comes on top while they
// are made; memory. The entries of a Profile.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "device/device.h"
#include "spec/profile.h"
#include "spec/run.h"

namespace skarv::train {

struct ProbeOptions {
  std::string device;  // "site/host/index", as the profile names it
  std::string chip;
  double pace = 0;  // of the device; > 0: the times are nominal ones, see kNominalFactor
  std::vector<int> microbatches = {1, 2, 4, 8};
  double seconds_per_size = 1.0;  // of measuring, for each kind of layer and microbatch
};

// A paced device is charged its nominal times divided by its pace. They have to lie above what the
// host needs, or it could not keep its slots: this much above the fastest of many short runs.
inline constexpr double kNominalFactor = 1.38;

// Of the process now: call it before a model exists. Resident bytes on cpu.
double resident_bytes();

// Times are the minimum of many short runs: on a busy machine the only figure that is stable. A
// size that does not fit in memory ends the list of sizes.
Result<Profile> probe(const Run& run, const Device& device, const ProbeOptions& options);

}  // namespace skarv::train
