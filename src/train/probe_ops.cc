#include "train/probe_ops.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>

#include <numeric>
#include <vector>

#include "device/torch_error.h"
#include "model/stage_module.h"
#include "train/slab_optimizer.h"

namespace skarv::train {
namespace {

std::vector<int> all(size_t count) {
  std::vector<int> numbers(count);
  std::iota(numbers.begin(), numbers.end(), 0);
  return numbers;
}

}  // namespace

Result<OpProfile> profile_step(const Run& run, const Device& device, int microbatch) {
  return guarded("profile a step", [&]() -> Result<OpProfile> {
    const SlabTable table(run.model, 1);
    ParameterStore store(run.model, all(table.tensors().size()), run.precision,
                         device.torch_device());
    store.initialise(run.seed);
    SlabOptimizer optimizer(run, table, all(static_cast<size_t>(table.size())), store);
    StageModule module(store, 0, run.model.num_layers(), Recompute::kNone);
    const int64_t num_tokens = microbatch * run.model.context;
    StageInput input;
    // Ids all over the table, as text has them.
    input.tokens_bt = at::arange(num_tokens, at::kLong)
                          .mul(7919)
                          .remainder(run.model.vocabulary)
                          .view({microbatch, run.model.context})
                          .to(device.torch_device());
    input.targets_bt = input.tokens_bt;
    const auto step = [&]() -> Status {
      SKARV_TRY(module.forward(0, input, 1.0 / static_cast<double>(num_tokens)).status());
      SKARV_TRY(module.backward(0, {}).status());
      SKARV_ASSIGN([[maybe_unused]] double norm, optimizer.squared_norm());
      SKARV_TRY(optimizer.update(optimizer.owned(), 0, 0.5));
      store.zero_gradients();
      return device.synchronize();
    };
    SKARV_TRY(step());
    OpProfiler profiler;
    const Status status = step();
    OpProfile profile = profiler.stop();
    if (!status.ok()) return status;
    return profile;
  });
}

}  // namespace skarv::train
