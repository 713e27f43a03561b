// One contest: our plan for a model on a cluster against rivals and against random changes to
// itself, by the simulator. Whoever cannot be faster, whatever the order of its work, is not played
// to its end (plan/simulate/step_floor.h): a dismissed plan is as surely beaten as a simulated one.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "base/status.h"
#include "plan/search/planner.h"

namespace skarv {

struct Contest {
  std::string cluster;  // file without its ending
  std::string model;
  int64_t global_batch = 0;
};

// What a contest has come to, so far.
struct Outcome {
  int64_t ours_ns = 0;
  int next_rival = 0;    // how many were looked at
  int num_rivals = 0;    // that make a plan
  int64_t rival_ns = 0;  // the fastest that fits; 0: none takes less than twice ours
  std::string rival;
  int64_t num_tried = 0;  // changes drawn; the next one's seed
  int num_changes = 0;    // that make a plan; each is one of:
  int num_dismissed = 0;  // by what it takes at the least
  int num_alike = 0;      // one known already with devices of other names
  int num_unfit = 0;      // beyond a device's memory
  int num_simulated = 0;
  int num_faster = 0;        // of those
  int64_t change_ns = 0;     // the fastest; 0: none was simulated to its end
  int64_t change_seed = -1;  // of that one
  int num_broken = 0;        // valid plans that the simulator could not play
  std::string broken;        // the first of them, and why

  bool is_done(int num_wanted) const;
  bool is_won() const {
    return num_broken == 0 && num_faster == 0 && (rival_ns == 0 || ours_ns <= rival_ns);
  }
};

struct ContestLimits {
  int num_changes = 10000;  // that make a plan
  double seconds = 0;       // CPU time; 0: as long as it takes
  bool thorough = false;    // our plan is refined to the end first
  // Told now and then; where it stopped, `hold` goes on when it is given that outcome.
  std::function<void(const Outcome&)> progress;
};

// Every contest that the project holds its planner to.
const std::vector<Contest>& contests();

// What a contest ends with: our plan, and the one that is faster than it, if any change is.
struct Held {
  Outcome outcome;
  Plan ours;
  std::optional<Plan> faster;
};

// Goes on from `known` if that was held against the same answer of ours. Errors: files that are
// missing below `bench_folder`; make_plan's; our own plan that cannot run.
Result<Held> hold(const Contest& contest, const std::string& bench_folder,
                  const ContestLimits& limits, const Outcome& known = {});

}  // namespace skarv
