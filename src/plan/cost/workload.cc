#include "plan/cost/workload.h"

#include <algorithm>
#include <cmath>

#include "base/text.h"
#include "spec/nominal.h"
#include "spec/traffic.h"

namespace skarv {
namespace {

int64_t nanoseconds(double seconds) { return std::llround(seconds * 1e9); }
int64_t whole_bytes(double bytes) { return static_cast<int64_t>(std::ceil(bytes)); }

// Beyond these, sums over a step would not stay in 63 bits.
constexpr double kLongest = 1e4;  // seconds
constexpr double kLargest = 1e15;
constexpr double kShortestBlock = 1e-9;  // seconds: without any time there is no rate to compare

Status check_layer(const LayerTime& time) {
  const auto check = [&](const char* what, double value, double most, const char* unit) -> Status {
    if (value >= 0 && value <= most) return {};
    return config_error(cat(what, " of a layer of kind ", name_of(time.kind), ", ", time.chip,
                            ", microbatch ", time.microbatch, " is ", value, " ", unit))
        .at("profile")
        .with_hint(cat("it may be 0 to ", most, " ", unit, ": measure again with `skarv probe`"));
  };
  SKARV_TRY(check("forward", time.forward, kLongest, "s"));
  SKARV_TRY(check("backward_input", time.backward_input, kLongest, "s"));
  SKARV_TRY(check("backward_weight", time.backward_weight, kLongest, "s"));
  SKARV_TRY(check("update", time.update, kLongest, "s"));
  const double block = time.forward + time.backward_input + time.backward_weight;
  if (time.kind == LayerKind::kBlock && block < kShortestBlock) {
    return config_error(cat("a block of ", time.chip, ", microbatch ", time.microbatch,
                            ", takes no time forward and backward"))
        .at("profile")
        .with_hint("measure again with `skarv probe`");
  }
  SKARV_TRY(check("activation_bytes", time.activation_bytes, kLargest, "bytes"));
  return check("transient_bytes", time.transient_bytes, kLargest, "bytes");
}

// Applies `value(member)` to every figure that grows with the microbatch.
template <typename Value>
MeasuredLayer each(int microbatch, Value value) {
  MeasuredLayer layer;
  layer.microbatch = microbatch;
  for (auto member :
       {&MeasuredLayer::forward, &MeasuredLayer::backward_input, &MeasuredLayer::backward_weight,
        &MeasuredLayer::kept_bytes, &MeasuredLayer::transient_bytes}) {
    layer.*member = value(member);
  }
  return layer;
}

// `sizes` ascending and not empty.
MeasuredLayer interpolate(const std::vector<MeasuredLayer>& sizes, int microbatch) {
  const auto above = std::ranges::lower_bound(sizes, microbatch, {}, &MeasuredLayer::microbatch);
  if (above == sizes.begin() || (above != sizes.end() && above->microbatch == microbatch)) {
    return *above;
  }
  const MeasuredLayer& below = *(above - 1);
  if (above == sizes.end()) {
    const double factor = static_cast<double>(microbatch) / below.microbatch;
    MeasuredLayer layer = each(microbatch, [&](auto member) { return below.*member * factor; });
    layer.update = below.update;
    return layer;
  }
  const double part = static_cast<double>(microbatch - below.microbatch) /
                      static_cast<double>(above->microbatch - below.microbatch);
  const auto between = [&](auto member) {
    return below.*member + ((*above).*member - below.*member) * part;
  };
  MeasuredLayer layer = each(microbatch, between);
  layer.update = between(&MeasuredLayer::update);
  return layer;
}

}  // namespace

Workload::Workload(int64_t tokens_per_sample, std::vector<LayerSize> sizes, std::vector<int> kinds)
    : tokens_per_sample_(tokens_per_sample), sizes_(std::move(sizes)), kinds_(std::move(kinds)) {
  for (int kind : kinds_) num_kinds_ = std::max(num_kinds_, kind + 1);
}

Result<Workload> Workload::from_run(const Run& run, const Profile& profile) {
  const std::string digest = digest_of(run.model).hex();
  if (!profile.model.empty() && profile.model != digest) {
    return config_error(cat("the profile was measured for the model ", profile.model.substr(0, 12),
                            ", this is ", digest.substr(0, 12)))
        .at("profile")
        .with_hint("measure again: skarv probe");
  }
  const int num_layers = run.model.num_layers();
  std::vector<LayerSize> sizes(num_layers);
  std::vector<int> kinds(num_layers);
  for (const TensorSpec& tensor : tensors_of(run.model)) {
    sizes[tensor.layer].parameters += tensor.num_elements();
  }
  for (int layer = 0; layer < num_layers; ++layer) {
    kinds[layer] = static_cast<int>(kind_of_layer(run.model, layer));
    if (layer + 1 < num_layers) {
      sizes[layer].output_bytes = border_bytes(run.model, run.precision, 1);
    }
  }
  Workload workload(run.model.context, std::move(sizes), std::move(kinds));
  if (run.model.tied_head) workload.tied_with_ = 0;
  workload.name_kinds(
      {name_of(LayerKind::kEmbedding), name_of(LayerKind::kBlock), name_of(LayerKind::kHead)});
  for (const LayerTime& time : profile.layers) {
    SKARV_TRY(check_layer(time));
    workload.add(time.chip, static_cast<int>(time.kind), time.tensor_parallel,
                 {time.microbatch, time.forward, time.backward_input, time.backward_weight,
                  time.update, time.activation_bytes, time.transient_bytes});
    if (profile.estimated) workload.mark_estimated(time.chip);
  }
  return workload;
}

void Workload::add(const std::string& chip, int kind, int tensor_parallel,
                   const MeasuredLayer& layer) {
  std::vector<MeasuredLayer>& sizes = chips_[chip].layers[{kind, tensor_parallel}];
  const auto place =
      std::ranges::lower_bound(sizes, layer.microbatch, {}, &MeasuredLayer::microbatch);
  if (place != sizes.end() && place->microbatch == layer.microbatch) return;  // the first counts
  sizes.insert(place, layer);
}

void Workload::mark_estimated(const std::string& chip) { chips_[chip].is_estimated = true; }

int64_t Workload::num_parameters() const {
  int64_t total = 0;
  for (const LayerSize& size : sizes_) total += size.parameters;
  return total;
}

Result<LayerCost> Workload::cost(const std::string& chip, int layer, int microbatch,
                                 int tensor_parallel) const {
  const auto times = chips_.find(chip);
  if (times == chips_.end()) return absent(chip, layer, tensor_parallel);
  const auto sizes = times->second.layers.find({kinds_[layer], tensor_parallel});
  if (sizes == times->second.layers.end()) return absent(chip, layer, tensor_parallel);
  const MeasuredLayer measured = interpolate(sizes->second, microbatch);
  return LayerCost{nanoseconds(measured.forward),         nanoseconds(measured.backward_input),
                   nanoseconds(measured.backward_weight), nanoseconds(measured.update),
                   whole_bytes(measured.kept_bytes),      whole_bytes(measured.transient_bytes)};
}

Status Workload::absent(const std::string& chip, int layer, int tensor_parallel) const {
  std::vector<std::string> known;
  for (const auto& [name, times] : chips_) known.push_back(name);
  const auto times = chips_.find(chip);
  if (times == chips_.end()) {
    const std::string nearest = nearest_name(chip, known);
    return Status(Code::kNotFound, Scope::kConfig, cat("the profile has no chip ", chip))
        .with_hint(cat(nearest.empty() ? "" : cat("the nearest is ", nearest, "; "), "it has ",
                       known.empty() ? "nothing" : join(known, ", "),
                       ": measure the missing one with `skarv probe`"));
  }
  const int kind = kinds_[layer];
  std::vector<std::string> degrees;
  for (const auto& [key, sizes] : times->second.layers) {
    if (key.first == kind) degrees.push_back(cat(key.second));
  }
  const std::string name =
      kind < static_cast<int>(kind_names_.size()) ? kind_names_[kind] : cat("layer ", layer);
  return Status(Code::kNotFound, Scope::kConfig,
                cat("the profile has no ", name, " of ", chip, " with tensor_parallel ",
                    tensor_parallel))
      .with_hint(degrees.empty() ? cat("it has no ", name, " of ", chip, " at all: measure it")
                                 : cat("it has tensor_parallel ", join(degrees, ", "),
                                       ": measure the missing one with `skarv probe`"));
}

bool Workload::is_estimated(const std::string& chip) const {
  const auto times = chips_.find(chip);
  return times != chips_.end() && times->second.is_estimated;
}

std::vector<int> Workload::microbatches(const std::string& chip, int kind,
                                        int tensor_parallel) const {
  std::vector<int> result;
  const auto times = chips_.find(chip);
  if (times == chips_.end()) return result;
  const auto sizes = times->second.layers.find({kind, tensor_parallel});
  if (sizes == times->second.layers.end()) return result;
  for (const MeasuredLayer& layer : sizes->second) result.push_back(layer.microbatch);
  return result;
}

std::vector<int> Workload::tensor_parallels(const std::string& chip) const {
  std::vector<int> result;
  const auto times = chips_.find(chip);
  if (times == chips_.end()) return result;
  std::map<int, int> num_kinds;
  for (const auto& [key, sizes] : times->second.layers) ++num_kinds[key.second];
  for (const auto& [degree, count] : num_kinds) {
    if (count == num_kinds_) result.push_back(degree);
  }
  return result;
}

}  // namespace skarv
