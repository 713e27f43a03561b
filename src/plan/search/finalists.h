// The last word: shapes become plans, and the simulator says which is fastest and what fits.
#pragma once

#include <limits>
#include <map>
#include <optional>
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
    int64_t island_ns = 0;
  };
  std::vector<Other> others;
};

// A whole plan and what its islands take.
struct PricedPlan {
  Plan plan;
  std::vector<int64_t> island_ns;
};

// The fastest of several descriptions.
class Ranking {
 public:
  void add(const std::string& text, int64_t ns);
  // What one has to be faster than to be among the first `count`; kNever while there are fewer.
  int64_t bar(size_t count) const;

  static constexpr int64_t kNever = std::numeric_limits<int64_t>::max() / 4;

 private:
  std::map<std::string, int64_t> best_;
};

class Finals {
 public:
  // Both outlive it. `num_kept`: plans of different description that are asked for; what is slower
  // than so many is not played to its end. After `most_actions` (PriceBook) one or two shapes of
  // each island are looked at, and of a large cluster only the best is kept.
  Finals(const World& world, const Pricer& pricer, size_t num_kept = 1,
         int64_t most_actions = 1'000'000);

  // For each island of the shape its best by the simulator, of the first few: fewer of large
  // islands, which take longer. Nothing: it is not faster than `bound_ns`, or not among those kept.
  // Error: no shape can be built or played (is_unfit), or something is broken.
  Result<std::optional<Finalist>> judge(const WholeShape& whole,
                                        int64_t bound_ns = Ranking::kNever);
  // As that finalist and its other shape say.
  PricedPlan plan_of(const Finalist& finalist, const Finalist::Other& other);

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
    bool is_even = true;  // optimizer shares
    bool is_possible = false;
    bool is_interleaved = false;  // interleave.h
    // Not 0: all that is known is that it does not fit or is not faster than this.
    int64_t given_up_ns = 0;
    Status failed;  // why it is not possible

    bool fits() const { return is_possible && overflow_bytes == 0; }
  };
  // What is no faster than `bar_ns` need not be played; kNever: what does not fit is priced too.
  // Error: something is broken; a shape that cannot be played is only not possible.
  Result<Verdict> verdict(const IslandShape& shape, const std::string& name, int64_t bar_ns);
  Result<Verdict> play(const Assembled& assembled, bool is_even, int64_t bar_ns) const;
  // Even optimizer shares, by speed, or both where that is worth the time.
  Result<std::vector<bool>> sharings(const Assembled& assembled, bool is_long) const;
  // Takes two stages a device where that is faster and fits.
  Status try_interleaved(const Assembled& assembled, int64_t bar_ns, Verdict& best) const;
  // Devices with names, as the verdict found best. REQUIRES: it is possible.
  Assembled dressed(const IslandShape& shape, const std::string& name, const Verdict& verdict);
  // The shape if it fits and is not slower.
  std::optional<Finalist> instead_of(const Finalist& finalist, const WholeShape& whole);
  // Sets the slowness of the shape's groups from a simulation of it.
  Status calibrate(const Assembled& assembled, IslandShape& shape) const;
  // The same for islands that differ in nothing but names.
  std::vector<int64_t> key_of(const IslandShape& shape) const;

  const World& world_;
  const Pricer& pricer_;
  const size_t num_kept_;
  const int64_t last_action_;
  Ranking ranking_;  // of whole plans
  std::map<std::vector<int64_t>, Verdict> verdicts_;
};

PricedPlan plan_of(const Finalist& finalist);

// Island names: the site's, or the sites' joined by a plus.
std::string island_name(const World& world, const IslandChoice& choice);

// "12 x (8 h20 | 4 a100-sxm-80 tp4), 3 x (2 h20)": replicas of stages in order.
std::string describe(const World& world, const IslandShape& shape);

}  // namespace skarv
