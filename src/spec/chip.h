// The chip catalog: what data sheets and public measurements say. A figure that nobody verified is
// marked, and a plan whose times rest on it shows the chip with a question mark.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace skarv {

struct Figure {
  double value = 0;
  bool verified = true;
};

struct Chip {
  std::string name;    // "a100-sxm-80"
  std::string maker;   // "nvidia", "amd", "ascend", "cpu", "toy": collectives stay within one
  Figure dense_flops;  // FLOP/s, bf16 (fp16 where there is no bf16)
  Figure memory_bytes;
  Figure memory_bandwidth;  // bytes/s
  Figure link_bandwidth;    // inside a node, bytes/s one way
  std::optional<double> measured_matmul_flops;
  bool has_bf16 = true;
};

// Names of the figures that nobody verified: "link bandwidth".
std::vector<std::string> unverified_figures(const Chip& chip);

const std::vector<Chip>& chip_catalog();
// Error: kNotFound with the nearest name.
Result<Chip> find_chip(std::string_view name);

}  // namespace skarv
