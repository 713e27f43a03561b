#include "plan/search/candidates.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "base/text.h"
#include "plan/search/split.h"

namespace skarv {
namespace {

Result<Candidate> data_parallel(const std::string& site, const std::vector<DeviceInfo>& devices,
                                int microbatch, int64_t samples, Recompute recompute,
                                const Market& market) {
  std::vector<double> seconds;
  for (const DeviceInfo& device : devices) {
    SKARV_ASSIGN(const AloneTime alone, alone_time(device, microbatch, market));
    seconds.push_back(alone.per_sample);
  }
  const std::vector<int64_t> shares = split_pieces(samples, seconds);
  const double fastest = *std::ranges::min_element(seconds);
  Candidate candidate;
  candidate.island.name = site;
  for (size_t i = 0; i < devices.size(); ++i) {
    const std::string& name = devices[i].name;
    if (shares[i] == 0) {
      candidate.idle.push_back({name, cat("too slow for one of ", samples,
                                          " samples: one takes it ", human_seconds(seconds[i]))});
      continue;
    }
    Pipeline& pipeline = candidate.island.pipelines.emplace_back();
    pipeline.microbatch = static_cast<int>(std::min<int64_t>(microbatch, shares[i]));
    pipeline.samples = shares[i];
    pipeline.stages.push_back({0, market.run.model.num_layers(), {name}, 1, recompute});
    // Thousandths, so that the plan stays readable.
    candidate.owner_share[name] = std::round(1000 * fastest / seconds[i]) / 1000;
  }
  return candidate;
}

Result<Candidate> one_pipeline(const std::string& site, const std::vector<DeviceInfo>& devices,
                               const std::string& schedule, int microbatch, int64_t samples,
                               Recompute recompute, const Market& market) {
  const Model& model = market.run.model;
  std::vector<std::vector<double>> seconds;
  for (const DeviceInfo& device : devices) {
    std::vector<double>& row = seconds.emplace_back();
    const double pace = device.pace > 0 ? device.pace : 1;
    for (int layer = 0; layer < model.num_layers(); ++layer) {
      SKARV_ASSIGN(const LayerTime time, layer_time(market.profile, device.chip.name,
                                                    kind_of_layer(model, layer), microbatch, 1));
      row.push_back((time.forward + time.backward_input + time.backward_weight) / pace);
    }
  }
  const std::vector<int> cuts = cut_layers(seconds);
  Candidate candidate;
  candidate.island.name = site;
  Pipeline& pipeline = candidate.island.pipelines.emplace_back();
  pipeline.microbatch = static_cast<int>(std::min<int64_t>(microbatch, samples));
  pipeline.samples = samples;
  pipeline.schedule = schedule;
  for (size_t i = 0; i < devices.size(); ++i) {
    pipeline.stages.push_back({cuts[i], cuts[i + 1], {devices[i].name}, 1, recompute});
  }
  return candidate;
}

double speed_of(const DeviceInfo& device, const Market& market, int microbatch) {
  const Result<AloneTime> alone = alone_time(device, microbatch, market);
  return alone.ok() ? 1 / alone->per_sample : 0;
}

}  // namespace

std::vector<int> microbatches_of(const std::vector<DeviceInfo>& devices, const Profile& profile) {
  std::set<std::string> chips;
  for (const DeviceInfo& device : devices) chips.insert(device.chip.name);
  std::map<int, std::set<std::string>> chips_by_size;
  for (const LayerTime& time : profile.layers) {
    if (time.kind == LayerKind::kBlock && time.tensor_parallel == 1 && chips.contains(time.chip)) {
      chips_by_size[time.microbatch].insert(time.chip);
    }
  }
  std::vector<int> sizes;
  for (const auto& [size, present] : chips_by_size) {
    if (present.size() == chips.size()) sizes.push_back(size);
  }
  return sizes;
}

Result<std::vector<Candidate>> candidates_of(const std::string& site,
                                             const std::vector<DeviceInfo>& devices, int microbatch,
                                             int64_t samples, Recompute recompute,
                                             const Market& market) {
  std::vector<Candidate> candidates;
  SKARV_ASSIGN(candidates.emplace_back(),
               data_parallel(site, devices, microbatch, samples, recompute, market));
  const auto num_devices = static_cast<int>(devices.size());
  if (num_devices < 2 || num_devices > market.run.model.num_layers()) return candidates;
  std::vector<DeviceInfo> order = devices;
  std::ranges::stable_sort(order, [&](const DeviceInfo& a, const DeviceInfo& b) {
    return speed_of(a, market, microbatch) > speed_of(b, market, microbatch);
  });
  for (int direction = 0; direction < 2; ++direction) {
    for (const char* schedule : {"1f1b", "zero-bubble"}) {
      SKARV_ASSIGN(candidates.emplace_back(),
                   one_pipeline(site, order, schedule, microbatch, samples, recompute, market));
    }
    std::ranges::reverse(order);
  }
  return candidates;
}

}  // namespace skarv
