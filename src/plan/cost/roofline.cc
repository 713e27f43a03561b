#include "plan/cost/roofline.h"

#include <algorithm>

#include "spec/traffic.h"

namespace skarv {
namespace {

constexpr int kMaxDegree = 8, kMaxMicrobatch = 64;

// Makers without a switch give the rate to each neighbour; a group of all of them sends to all at
// once.
double group_bandwidth(const Chip& chip, int degree) {
  const bool is_mesh = chip.maker == "amd" || chip.name.starts_with("ascend-910b");
  return chip.link_bandwidth.value * (is_mesh ? std::max(degree - 1, 1) : 1);
}

LayerTime time_of(const LayerWork& work, const PassWork& update, const ChipRates& rates,
                  const GroupShape& group) {
  const auto seconds = [&](const PassWork& pass) {
    const int64_t reduction = pass.num_reductions > 0
                                  ? collective_ns(Collective::kAllReduce, pass.reduced_bytes, group)
                                  : 0;
    return pass_seconds(pass, rates, static_cast<double>(reduction) * 1e-9);
  };
  LayerTime time;
  time.forward = seconds(work.forward);
  time.backward_input = seconds(work.backward_input);
  time.backward_weight = seconds(work.backward_weight);
  time.update = seconds(update);
  time.activation_bytes = work.kept_bytes;
  return time;
}

void add_chip(Profile& profile, const Run& run, const Chip& chip,
              const HardwareConstants& constants) {
  const Model& model = run.model;
  const auto shape = TransformerShape::of(model, static_cast<int>(element_bytes(run.precision)));
  ChipRates rates = rates_of(chip, constants);
  if (run.precision == Precision::kFp32) rates.matmul_flops *= constants.fp32_fraction;
  const double table = static_cast<double>(model.vocabulary * model.hidden);
  for (int degree = 1; degree <= kMaxDegree; degree *= 2) {
    if (model.num_heads % degree != 0 || model.num_kv_heads % degree != 0) break;
    GroupShape group;
    group.num_devices = group.devices_per_host = degree;
    group.start_ns = constants.start_ns();
    group.inside =
        LinkCost(group_bandwidth(chip, degree) * constants.link_fraction, constants.hop_ns());
    for (int microbatch = 1; microbatch <= kMaxMicrobatch; microbatch *= 2) {
      const auto add = [&](LayerKind kind, const LayerWork& work, double parameters) {
        LayerTime time = time_of(work, update_work(parameters / degree), rates, group);
        time.chip = chip.name;
        time.kind = kind;
        time.microbatch = microbatch;
        time.tensor_parallel = degree;
        profile.layers.push_back(time);
      };
      add(LayerKind::kEmbedding, embedding_work(shape, microbatch, degree), table);
      add(LayerKind::kBlock, block_work(shape, microbatch, degree),
          static_cast<double>(shape.block_parameters()));
      add(LayerKind::kHead, head_work(shape, microbatch, degree), model.tied_head ? 0 : table);
    }
  }
}

}  // namespace

ChipRates rates_of(const Chip& chip, const HardwareConstants& constants) {
  const double peak = chip.dense_flops.value;
  ChipRates rates;
  rates.matmul_flops = peak * constants.matmul_fraction;
  if (chip.measured_matmul_flops) {
    rates.matmul_flops = std::min(rates.matmul_flops, *chip.measured_matmul_flops);
  }
  rates.misaligned_flops = std::min(rates.matmul_flops, peak * constants.misaligned_fraction);
  rates.memory_bandwidth = chip.memory_bandwidth.value * constants.memory_fraction;
  rates.kernel_s = constants.kernel_us * 1e-6;
  rates.launch_s = constants.launch_us * 1e-6;
  rates.collective_s = constants.collective_us * 1e-6;
  return rates;
}

double device_seconds(const PassWork& work, const ChipRates& rates, double reduction_s) {
  return work.matmul_flops / (work.misaligned ? rates.misaligned_flops : rates.matmul_flops) +
         work.moved_bytes / rates.memory_bandwidth + work.num_operations * rates.kernel_s +
         work.num_reductions * reduction_s;
}

double host_seconds(const PassWork& work, const ChipRates& rates) {
  return work.num_operations * rates.launch_s + work.num_reductions * rates.collective_s;
}

Result<Profile> estimate_profile(const Run& run, const std::vector<std::string>& chips,
                                 const Constants& constants) {
  SKARV_ASSIGN(const HardwareConstants estimate, constants.of("estimate"));
  Profile profile;
  profile.model = digest_of(run.model).hex();
  profile.estimated = true;
  for (const std::string& name : chips) {
    SKARV_ASSIGN(const Chip chip, find_chip(name));
    add_chip(profile, run, chip, estimate);
  }
  return profile;
}

}  // namespace skarv
