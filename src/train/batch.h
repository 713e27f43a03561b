// The samples of one step, handed out: pipelines take consecutive shares of the island's samples,
// microbatches consecutive shares of their pipeline's.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <utility>
#include <vector>

#include "base/status.h"
#include "spec/plan.h"
#include "train/sample_source.h"

namespace skarv::train {

struct Tokens {
  at::Tensor inputs_bt, targets_bt;  // int64 on the device
};

class Batch {
 public:
  // Error: kInvalidArgument unless the ranges hold exactly the island's samples.
  static Result<Batch> create(const Island& island,
                              const std::vector<std::pair<uint64_t, uint64_t>>& ranges);

  std::vector<uint64_t> samples_of(const Island& island, int pipeline, int microbatch) const;

 private:
  std::vector<uint64_t> samples_;
};

Result<Tokens> read_tokens(const SampleSource& source, const std::vector<uint64_t>& samples,
                           int64_t context, c10::Device device);

}  // namespace skarv::train
