// One contest: our plan for a model on a cluster against rivals and against random changes to
// itself, all by the simulator.
#pragma once

#include <functional>
#include <string>

#include "base/status.h"
#include "plan/search/planner.h"

namespace skarv {

struct Contest {
  std::string cluster;  // file without its ending
  std::string model;
  int64_t global_batch = 0;
};

struct Outcome {
  int64_t ours_ns = 0;
  int64_t rival_ns = 0, mutation_ns = 0;  // the fastest; 0: none can run
  std::string rival, mutation;
  int num_rivals = 0, num_mutations = 0;  // that were played
  int num_broken = 0;                     // that are valid, and that the simulator could not play
  std::string broken;                     // the first of them, and why

  bool is_won() const {
    return num_broken == 0 && (rival_ns == 0 || ours_ns <= rival_ns) &&
           (mutation_ns == 0 || ours_ns <= mutation_ns);
  }
};

struct ContestLimits {
  int num_mutations = 10000;
  double seconds = 0;  // CPU time of the rivals, and of the changes; 0: as long as it takes
  std::function<void(const std::string&)> progress;
};

// Every contest that the project holds its planner to.
const std::vector<Contest>& contests();

// Errors: files that are missing below `bench_folder`; make_plan's.
Result<Outcome> hold(const Contest& contest, const std::string& bench_folder,
                     const ContestLimits& limits);

}  // namespace skarv
