#include "train/probe.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <limits>

#include "base/clock.h"
#include "device/cpu_memory.h"
#include "device/torch_error.h"
#include "model/stage_module.h"
#include "train/slab_optimizer.h"

namespace skarv::train {
namespace {

constexpr int kFewestRuns = 4, kMostRuns = 400;

// One layer alone, as a stage of a plan would hold it.
class LayerBench {
 public:
  LayerBench(const Run& run, const Device& device, LayerKind kind)
      : run_(run),
        device_(device),
        kind_(kind),
        layer_(kind == LayerKind::kEmbedding ? 0
               : kind == LayerKind::kBlock   ? 1
                                             : run.model.head_layer()),
        table_(run.model, 1),
        store_(run.model, tensors_of_layer(), run.precision, device.torch_device()),
        optimizer_((store_.initialise(run.seed), run), table_, slabs_of_layer(), store_),
        module_(store_, layer_, layer_ + 1, Recompute::kNone) {}

  Result<LayerTime> measure(int microbatch, double seconds) {
    const Time give_up = Clock::real().now() + from_seconds(seconds);
    LayerTime best{.kind = kind_, .microbatch = microbatch};
    best.forward = best.backward_input = best.backward_weight = best.update =
        std::numeric_limits<double>::infinity();
    const StageInput input = input_of(microbatch);
    for (int run = 0; run < kMostRuns; ++run) {
      if (run >= kFewestRuns && Clock::real().now() > give_up) break;
      SKARV_TRY(once(input, best));
    }
    return best;
  }

 private:
  std::vector<int> tensors_of_layer() const {
    std::vector<int> tensors;
    for (size_t i = 0; i < table_.tensors().size(); ++i) {
      if (table_.tensors()[i].used_by(layer_)) tensors.push_back(static_cast<int>(i));
    }
    return tensors;
  }
  std::vector<int> slabs_of_layer() const {
    std::vector<int> slabs;
    for (int slab = 0; slab < table_.size(); ++slab) {
      // A tied embedding is updated with its own layer, once.
      if (table_[slab].layer == layer_) slabs.push_back(slab);
    }
    return slabs;
  }

  StageInput input_of(int microbatch) const {
    const at::TensorOptions options = at::TensorOptions().device(device_.torch_device());
    StageInput input;
    // Ids all over the table, as text has them.
    input.tokens_bt = at::arange(microbatch * run_.model.context, at::kLong)
                          .mul(7919)
                          .remainder(run_.model.vocabulary)
                          .view({microbatch, run_.model.context})
                          .to(device_.torch_device());
    input.targets_bt = input.tokens_bt;
    if (kind_ != LayerKind::kEmbedding) {
      input.activation_btc =
          at::full({microbatch, run_.model.context, run_.model.hidden}, 0.5, options.dtype(type()));
    }
    return input;
  }
  c10::ScalarType type() const {
    return run_.precision == Precision::kBf16 ? at::kBFloat16 : at::kFloat;
  }

  template <typename Work>
  Status timed(double& best, Work&& work) const {
    const Time start = Clock::real().now();
    SKARV_TRY(work());
    SKARV_TRY(device_.synchronize());
    best = std::min(best, to_seconds(Clock::real().now() - start));
    return Status();
  }

  Status once(const StageInput& input, LayerTime& best) {
    const auto before = device_.memory();
    SKARV_TRY(device_.reset_peak());
    at::Tensor gradient;
    SKARV_TRY(timed(best.forward, [&]() -> Status {
      SKARV_ASSIGN(at::Tensor output, module_.forward(0, input, 1.0));
      if (kind_ != LayerKind::kHead) gradient = output;
      return Status();
    }));
    const auto after = device_.memory();
    if (before.ok() && after.ok()) {
      best.activation_bytes =
          std::max(best.activation_bytes,
                   static_cast<double>(after->allocated_bytes - before->allocated_bytes));
    }
    SKARV_TRY(
        timed(best.backward_input, [&] { return module_.backward_input(0, gradient).status(); }));
    SKARV_TRY(timed(best.backward_weight, [&] { return module_.backward_weight(0); }));
    if (const auto end = device_.memory(); after.ok() && end.ok()) {
      best.transient_bytes = std::max(
          best.transient_bytes, static_cast<double>(end->peak_bytes - after->allocated_bytes));
    }
    // Once a step whatever the microbatch; what surrounds AdamW on a rank is in it.
    return timed(best.update, [&]() -> Status {
      SKARV_ASSIGN([[maybe_unused]] double norm, optimizer_.squared_norm());
      SKARV_TRY(optimizer_.update(optimizer_.owned(), 0, 0.5));
      store_.zero_gradients();
      return Status();
    });
  }

  const Run& run_;
  const Device device_;
  const LayerKind kind_;
  const int layer_;
  const SlabTable table_;
  ParameterStore store_;
  SlabOptimizer optimizer_;
  StageModule module_;
};

}  // namespace

double resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  double total = 0, resident = 0;
  statm >> total >> resident;
  return resident * static_cast<double>(::sysconf(_SC_PAGESIZE));
}

Result<Profile> probe(const Run& run, const Device& device, const ProbeOptions& options) {
  Profile profile;
  profile.model = digest_of(run.model).hex();
  SKARV_ASSIGN(MemoryFigures memory, device.memory());
  profile.devices.push_back({.device = options.device,
                             .chip = options.chip,
                             .usable_bytes = static_cast<double>(memory.free_bytes),
                             .base_bytes = resident_bytes(),
                             .pace = options.pace});
  const double factor = options.pace > 0 ? kNominalFactor : 1.0;
  for (LayerKind kind : {LayerKind::kEmbedding, LayerKind::kBlock, LayerKind::kHead}) {
    for (int microbatch : options.microbatches) {
      auto time = guarded("measure a layer", [&]() -> Result<LayerTime> {
        LayerBench bench(run, device, kind);
        return bench.measure(microbatch, options.seconds_per_size);
      });
      const bool too_large = !time.ok() && time.status().code() == Code::kResourceExhausted &&
                             microbatch != options.microbatches.front();
      if (too_large) break;
      if (!time.ok()) return time.status();
      time->chip = options.chip;
      time->forward *= factor;
      time->backward_input *= factor;
      time->backward_weight *= factor;
      time->update *= factor;
      profile.layers.push_back(*time);
    }
  }
  return profile;
}

}  // namespace skarv::train
