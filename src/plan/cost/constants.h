// What hardware reaches of its data sheet, and what it costs to get going: the few constants that
// the accuracy sets are calibrated with, all in constants.json. Each has a physical meaning;
// docs/accuracy.md has how they were found, bench/accuracy/fit.py finds them.
#pragma once

#include <cmath>
#include <cstdint>
#include <map>
#include <string>

#include "base/json.h"
#include "base/status.h"

namespace skarv {

struct HardwareConstants {
  double matmul_fraction = 1;      // of the dense peak, in large matrix products
  double misaligned_fraction = 1;  // the same, when a dimension is no multiple of 16 bytes
  double memory_fraction = 1;      // of the memory bandwidth, in everything else
  double kernel_us = 0;            // a device's start, ramp and drain for one operation
  double launch_us = 0;            // the host's time to launch one operation
  double collective_us = 0;        // the host's time to launch one collective
  double link_fraction = 1;        // of the chip's link inside a host, in collectives
  double network_fraction = 1;     // of the NICs' bandwidth, between hosts
  double step_ms = 0;              // of the framework, once an optimizer step
  double hop_us = 0;    // from one device to the next: of a message, of a round of a collective
  double start_us = 0;  // a collective's kernel launch and rendezvous, on the devices
  double fp32_fraction = 1;  // of the 16-bit matmul rate, where a run computes in fp32 (as TF32)
  // Of the host's time for a forward, what launching its backward takes: autograd does it from C++.
  double autograd_fraction = 1;

  int64_t hop_ns() const { return std::llround(hop_us * 1e3); }
  int64_t start_ns() const { return std::llround(start_us * 1e3); }
};

class Constants {
 public:
  // {"hardware": {"name": value, ...}, ...}; "like" takes what is not named from another hardware,
  // which stands before. Error: an unknown name (with the nearest), a value that makes no sense.
  static Result<Constants> from_json(const Json& json, const std::string& origin);
  // Those of constants.json, as built.
  static const Constants& built_in();

  // Error: kNotFound with the nearest name.
  Result<HardwareConstants> of(const std::string& hardware) const;

 private:
  std::map<std::string, HardwareConstants> hardware_;
};

}  // namespace skarv
