// The figures of a plan, as simulated: what people read and runs are compared with.
#pragma once

#include "plan/report.h"
#include "plan/search/pricer.h"

namespace skarv {

// Devices that behave alike are one row where an island has more than kFewDevices. REQUIRES:
// check_plan passed. Errors as simulate_island's.
Result<PlanReport> figures_of(const Plan& plan, const Pricer& pricer, int64_t global_batch);

// Tokens/s of a device that trains the whole batch by itself, at its best known microbatch and as
// if its memory had no end.
double tokens_alone(const Workload& workload, const std::string& chip, double pace,
                    int64_t global_batch);

}  // namespace skarv
