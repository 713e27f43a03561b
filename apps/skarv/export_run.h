// The outer weights of a run as a Hugging Face folder; `skarv export` and the end of training.
#pragma once

#include <filesystem>

#include "base/status.h"

namespace skarv {

struct ExportedRun {
  std::filesystem::path checkpoint;
  int64_t round = 0, num_parameters = 0;
};

// `run`: the folder of a run (its newest checkpoint is taken), of an island or of a checkpoint.
// `output` must not exist.
Result<ExportedRun> export_run(const std::filesystem::path& run,
                               const std::filesystem::path& output, bool bfloat16);

}  // namespace skarv
