// The last word: shapes become plans, and the simulator says which is fastest and what fits.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "plan/search/assembly.h"
#include "plan/search/pricer.h"
#include "plan/search/site_search.h"

namespace skarv {

// A whole plan as simulated.
struct Finalist {
  WholeShape shape;                // one shape an island, the best first
  std::vector<Assembled> islands;  // in the same order
  int64_t step_ns = 0;
  int64_t overflow_bytes = 0;  // of the device that exceeds its memory most; 0: it fits
  std::string fullest;         // that device
  // Whole plans in which one island has another shape and all fits.
  struct Other {
    int64_t step_ns = 0;
    std::string text;  // how that island would be described
    size_t island = 0;
    IslandShape shape;
  };
  std::vector<Other> others;
};

class Finals {
 public:
  // Both outlive it.
  // After `most_actions` (PriceBook) one or two shapes of each island are simulated.
  Finals(const World& world, const Pricer& pricer, int64_t most_actions = 1'000'000);

  // For each island of the shape its best by the simulator, of the first few: fewer of large
  // islands, which take longer. Error: no shape can be built or played (is_unfit), or something is
  // broken.
  Result<Finalist> judge(const WholeShape& whole);
  // As that finalist and its other shape say.
  Plan plan_of(const Finalist& finalist, const Finalist::Other& other);

  // The same shapes with samples shared out anew by the times that the simulator finds for their
  // pipelines, as long as that makes the step shorter.
  void share_anew(int64_t global_batch, Finalist& finalist);
  // A layer over a border of stages in the slowest island, wherever the simulator finds that
  // faster; few trials, none for large islands.
  void move_layers(Finalist& finalist);

 private:
  struct Verdict {
    int64_t step_ns = 0, overflow_bytes = 0;
    std::string fullest;
    bool is_even = false;  // optimizer shares
    bool is_possible = false;
    bool is_interleaved = false;  // interleave.h
    int64_t num_actions = 0;      // played
    Status failed;                // why it is not possible
  };
  // Error: something is broken; a shape that cannot be played is only not possible.
  Result<Verdict> verdict(const IslandShape& shape, const std::string& name);
  Result<Verdict> play(const Assembled& assembled, bool is_even) const;
  // Takes two stages a device where that is faster and fits; steps too long to play twice stay.
  Status try_interleaved(const Assembled& assembled, Verdict& best) const;
  // Devices with names, as the verdict found best. REQUIRES: it is possible.
  Assembled dressed(const IslandShape& shape, const std::string& name, const Verdict& verdict);
  // Sets the slowness of the shape's groups from a simulation of it.
  Status calibrate(const Assembled& assembled, IslandShape& shape) const;
  // The same for islands that differ in nothing but names.
  std::vector<int64_t> key_of(const IslandShape& shape) const;

  const World& world_;
  const Pricer& pricer_;
  const int64_t last_action_;
  std::map<std::vector<int64_t>, Verdict> verdicts_;
};

Plan plan_of(const Finalist& finalist);

// Island names: the site's, or the sites' joined by a plus.
std::string island_name(const World& world, const IslandChoice& choice);

// "12 x (8 h20 | 4 a100-sxm-80 tp4), 3 x (2 h20)": replicas of stages in order.
std::string describe(const World& world, const IslandShape& shape);

}  // namespace skarv
