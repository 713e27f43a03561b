#include "train/batch.h"

#include <ATen/ops/empty.h>

#include "base/text.h"
#include "device/torch_error.h"

namespace skarv::train {

Result<Batch> Batch::create(const Island& island,
                            const std::vector<std::pair<uint64_t, uint64_t>>& ranges) {
  const auto wanted = static_cast<uint64_t>(island.samples());
  uint64_t found = 0;
  for (const auto& [begin, end] : ranges) {
    // Each range is compared before it is summed: a hostile one must not overflow.
    if (end < begin || end - begin > wanted) found = wanted + 1;
    if (found <= wanted) found += end - begin;
  }
  if (found != wanted) {
    return Status(Code::kInvalidArgument, Scope::kRun,
                  cat("a step of island ", island.name, " takes ", wanted,
                      " samples; its order grants another number"));
  }
  Batch batch;
  batch.samples_.reserve(wanted);
  for (const auto& [begin, end] : ranges) {
    for (uint64_t sample = begin; sample < end; ++sample) batch.samples_.push_back(sample);
  }
  return batch;
}

std::vector<uint64_t> Batch::samples_of(const Island& island, int pipeline, int microbatch) const {
  int64_t first = 0;
  for (int before = 0; before < pipeline; ++before) first += island.pipelines[before].samples;
  first += static_cast<int64_t>(microbatch) * island.pipelines[pipeline].microbatch;
  const auto begin = samples_.begin() + first;
  return {begin, begin + island.pipelines[pipeline].microbatch_size(microbatch)};
}

Result<Tokens> read_tokens(const SampleSource& source, const std::vector<uint64_t>& samples,
                           int64_t context, c10::Device device) {
  return guarded("read tokens", [&]() -> Result<Tokens> {
    const auto num_samples = static_cast<int64_t>(samples.size());
    at::Tensor inputs = at::empty({num_samples, context}, at::kLong);
    at::Tensor targets = at::empty({num_samples, context}, at::kLong);
    std::vector<int32_t> row(static_cast<size_t>(context) + 1);
    for (int64_t i = 0; i < num_samples; ++i) {
      SKARV_TRY(source.read(samples[static_cast<size_t>(i)], row));
      int64_t* input = inputs.data_ptr<int64_t>() + i * context;
      int64_t* target = targets.data_ptr<int64_t>() + i * context;
      std::copy(row.begin(), row.end() - 1, input);
      std::copy(row.begin() + 1, row.end(), target);
    }
    return Tokens{inputs.to(device), targets.to(device)};
  });
}

}  // namespace skarv::train
