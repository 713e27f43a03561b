// From the question to the plan: search, finalists, and the reasons why.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "plan/report.h"
#include "plan/search/finalists.h"

namespace skarv {

struct Question {
  const Pricer& pricer;
  int64_t global_batch = 0;
  int min_islands = 1;
  int64_t tied_parameters = 0;  // held by the last layer too, counted with the first
  PlannerLimits limits;
  // A plan that takes longer is not worth refining, and none is given where all seem to.
  int64_t worth_ns = std::numeric_limits<int64_t>::max();
  bool looks_at_poorer = true;        // clusters with a device or with memory less, of few devices
  bool looks_at_less = true;          // shapes for less memory or bandwidth, of few devices
  bool looks_at_single_chips = true;  // plans on one type alone, to compare with
};

struct Chosen {
  int64_t step_ns = 0;
  Plan plan;  // its model is the caller's to name
  std::vector<AlternativeReport> alternatives;
  std::string best_single_chip;
  int64_t best_single_ns = 0;
};

// Errors: kNotFound for a chip without times; kResourceExhausted with the figures of the device
// that overflows least, or of the host whose keepers do.
Result<Chosen> choose(const Question& question);

}  // namespace skarv
