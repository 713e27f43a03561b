// Orders made before, and what came of them: a planner asks for the same pipeline in many plans.
// One thread at a time.
#pragma once

#include <string>
#include <unordered_map>

#include "plan/schedule/order.h"

namespace skarv {

// What a piece costs that is ordered and played, or played again in local search, as a multiple of
// playing it alone.
constexpr int64_t kCostOfOrdered = 5, kCostOfMoved = 3;

// Holds some 100 MB at most and forgets everything when that is full.
class OrderCache {
 public:
  // Null if it is not known; until the next add.
  const OrderedPipeline* find(const OrderRule& rule, const PipelineTimes& times,
                              const OrderOptions& options) const;
  void add(const OrderRule& rule, const PipelineTimes& times, const OrderOptions& options,
           OrderedPipeline order);

  // The makespan alone; -1 if it is not known.
  int64_t makespan(const OrderRule& rule, const PipelineTimes& times,
                   const OrderOptions& options) const;
  void add_makespan(const OrderRule& rule, const PipelineTimes& times, const OrderOptions& options,
                    int64_t ns);

  // Pieces of work played to make orders that were not known, or as much other effort: some 20 ns
  // each.
  void count(int64_t num_pieces) { num_pieces_ += num_pieces; }
  int64_t num_pieces() const { return num_pieces_; }

 private:
  std::unordered_map<std::string, OrderedPipeline> orders_;
  std::unordered_map<std::string, int64_t> makespans_;
  size_t num_works_ = 0;
  int64_t num_pieces_ = 0;
};

}  // namespace skarv
