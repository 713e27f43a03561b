// Why the answer is as it is: what it leaves out, what else there was, what no plan can do without.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "plan/report.h"
#include "plan/search/finalists.h"

namespace skarv {

constexpr size_t kNumAlternatives = 5;

// The next best plans of other shapes than the best one's islands have, from others by their step.
std::vector<AlternativeReport> alternatives(const World& world,
                                            std::vector<std::pair<int64_t, std::string>> others,
                                            const Finalist& best);

// Every device that the plan does not use, with the reason, from the shapes that were found.
void add_idle(const World& world, const std::vector<WholeShape>& found, const Finalist& best,
              Plan& plan);

// Nothing fits: what the plan that needs least lacks. kResourceExhausted with the figures of the
// device that overflows least, or of the host whose keepers do.
Status does_not_fit(const Pricer& pricer, int64_t global_batch, World world);

}  // namespace skarv
