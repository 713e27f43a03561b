// Where the tokens of a sample come from.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "base/status.h"
#include "spec/run.h"

namespace skarv::train {

// Immutable and thread-safe.
class SampleSource {
 public:
  virtual ~SampleSource() = default;
  // The context + 1 tokens of sample `counter`; the first `context` are inputs, the last targets.
  virtual Status read(uint64_t counter, std::span<int32_t> out) const = 0;
};

// The training part of the run's data folder, in the order that the run's seed gives.
Result<std::unique_ptr<SampleSource>> open_training_samples(const Run& run);
// The held-out part in the same form; always the same samples, whatever the run's seed.
Result<std::unique_ptr<SampleSource>> open_validation_samples(const std::string& folder,
                                                              int64_t context, int64_t vocabulary);

}  // namespace skarv::train
