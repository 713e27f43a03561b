#include "spec/run.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace skarv {

int64_t Run::steps_per_round() const {
  if (exchange.mode == ExchangeMode::kGradient) return 1;
  return exchange.inner_steps / exchange.num_fragments;
}

int quorum_of(int num_islands, int durable_copies) {
  return std::max((num_islands + 1) / 2, std::min(durable_copies, num_islands));
}

double learning_rate_at(const Run& run, int64_t step) {
  const OptimizerSettings& settings = run.optimizer;
  const double peak = settings.learning_rate, last = peak * settings.final_fraction;
  // The batch is constant, so steps count global tokens. Step 0 already moves.
  if (step < settings.warmup_steps) {
    return peak * static_cast<double>(step + 1) / static_cast<double>(settings.warmup_steps);
  }
  const int64_t decay_begin =
      settings.shape == LearningRateShape::kCosine
          ? settings.warmup_steps
          : std::max<int64_t>(settings.warmup_steps,
                              run.steps - std::llround(settings.decay_fraction * run.steps));
  if (step < decay_begin) return peak;
  const double length = static_cast<double>(std::max<int64_t>(1, run.steps - decay_begin));
  const double progress = std::min(1.0, static_cast<double>(step - decay_begin) / length);
  if (settings.shape == LearningRateShape::kWsd) return peak + (last - peak) * progress;
  return last + (peak - last) * 0.5 * (1 + std::cos(std::numbers::pi * progress));
}

Digest digest_of(const Run& run) {
  Run shared = run;
  shared.data.folder.clear();
  return digest_of(std::string_view(to_json(shared).dump()));
}

const char* name_of(Precision precision) { return precision == Precision::kFp32 ? "fp32" : "bf16"; }
const char* name_of(ExchangeMode mode) {
  return mode == ExchangeMode::kLocal ? "local" : "gradient";
}
const char* name_of(CodecKind codec) { return codec == CodecKind::kIdentity ? "identity" : "int4"; }

}  // namespace skarv
