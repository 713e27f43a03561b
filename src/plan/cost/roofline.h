// Seconds from work and rates: what nobody measured, estimated.
//
// A pass over a layer takes as long as the device works or as long as the host launches, whichever
// is longer (launches run ahead of the device). The device: products at the matmul rate, everything
// else at the memory rate, a fixed ramp for each operation, and the all-reduces of its group, which
// nothing hides. The host: its time for each operation and each collective.
#pragma once

#include <algorithm>

#include "plan/cost/collective.h"
#include "plan/cost/constants.h"
#include "plan/cost/transformer.h"
#include "spec/chip.h"
#include "spec/profile.h"
#include "spec/run.h"

namespace skarv {

struct ChipRates {
  double matmul_flops = 1, misaligned_flops = 1;  // FLOP/s
  double memory_bandwidth = 1;                    // bytes/s
  double kernel_s = 0, launch_s = 0, collective_s = 0;
};
// A measured matmul rate of the catalog counts before the fraction of the peak.
ChipRates rates_of(const Chip& chip, const HardwareConstants& constants);

// `reduction_s`: one all-reduce of work.reduced_bytes.
double device_seconds(const PassWork& work, const ChipRates& rates, double reduction_s);
double host_seconds(const PassWork& work, const ChipRates& rates);
inline double pass_seconds(const PassWork& work, const ChipRates& rates, double reduction_s) {
  return std::max(device_seconds(work, rates, reduction_s), host_seconds(work, rates));
}

// A profile of the run's model on these chips of the catalog, `estimated` set: tensor parallel 1 to
// 8 where it divides the heads, microbatches 1, 2, 4 ... 64. The group's link is the chip's own.
// Error: a chip that the catalog lacks.
Result<Profile> estimate_profile(const Run& run, const std::vector<std::string>& chips,
                                 const Constants& constants = Constants::built_in());

}  // namespace skarv
