#include "plan/schedule/warm_up.h"

#include <algorithm>

namespace skarv {
namespace {

int64_t share(int64_t whole, int thousandths) {
  return whole / 1000 * thousandths + whole % 1000 * thousandths / 1000;
}

}  // namespace

std::vector<int64_t> round_trips(const PipelineTimes& times) {
  const int num_stages = times.num_stages();
  std::vector<int64_t> trips(num_stages);
  trips[num_stages - 1] = times.stages[num_stages - 1].forward_ns;
  for (int s = num_stages - 1; s-- > 0;) {
    trips[s] = times.stages[s].forward_ns + times.activation_ns(s) + trips[s + 1] +
               times.stages[s + 1].backward_input_ns + times.gradient_ns(s);
  }
  return trips;
}

std::vector<int> depths_of(const WarmUp& warm_up, const PipelineTimes& times) {
  const int num_stages = times.num_stages();
  std::vector<int64_t> work(times.num_workers(), 0);
  for (int s = 0; s < num_stages; ++s) {
    work[times.worker_of_stage[s]] += times.stages[s].work_ns();
  }
  const int64_t slowest_work = *std::max_element(work.begin(), work.end());
  const std::vector<int64_t> trips = round_trips(times);
  std::vector<int> depths;
  int64_t slowest_forward = 0;
  for (int s = 0; s < num_stages; ++s) {
    int64_t depth = num_stages - s;
    if (!warm_up.is_classical) {
      slowest_forward = std::max(slowest_forward, times.stages[s].forward_ns);
      const int64_t interval = std::max<int64_t>(
          1, slowest_forward + share(slowest_work - slowest_forward, warm_up.interval));
      depth = (share(trips[s], warm_up.stretch) + interval - 1) / interval;
    }
    depth += warm_up.extra;
    depths.push_back(static_cast<int>(std::clamp<int64_t>(depth, 1, times.num_microbatches)));
  }
  return depths;
}

}  // namespace skarv
