// The traces that the workers wrote of one step, as one file for Perfetto or chrome://tracing: a
// process for each device of each island, on one clock. All workers of `skarv train` run on one
// host, whose monotonic clock their times are; across hosts this does not align anything.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/status.h"

namespace skarv {

// Reads <folder>/<island>/trace/step-<step>-rank-<rank>.json, takes the step that most devices have
// (the earliest of these: a worker that was started again traces a later one too) and writes
// <folder>/trace.json, beginning at 0. Errors: kNotFound when no device traced a step; kDataLoss
// for a file that is no trace.
Result<std::filesystem::path> merge_traces(const std::filesystem::path& folder,
                                           const std::vector<std::string>& islands);

}  // namespace skarv
