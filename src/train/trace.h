// The trace of one step of one rank, for Perfetto or chrome://tracing. Times are the host's
// monotonic clock, so the files of all ranks of a host fit together.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/status.h"
#include "train/executor.h"

namespace skarv::train {

// `folder`/step-<step>-rank-<rank>.json.
Status write_trace(const std::filesystem::path& folder, const std::string& device, int rank,
                   int64_t step, const std::vector<ActionRecord>& records);

}  // namespace skarv::train
