// The profile (JSON): what devices and links were measured, or estimated, to do.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/status.h"

namespace skarv {

enum class LayerKind { kEmbedding, kBlock, kHead };
const char* name_of(LayerKind kind);

// Seconds of one layer of a kind for one microbatch.
struct LayerTime {
  std::string chip;  // catalog name; for a paced device "name@pace" is never used: pace divides
  LayerKind kind = LayerKind::kBlock;
  int microbatch = 1;
  int tensor_parallel = 1;
  double forward = 0, backward_input = 0, backward_weight = 0;
  double update = 0;            // optimizer step of the layer's parameters, once a step
  double activation_bytes = 0;  // kept from forward to backward
  double transient_bytes = 0;   // most beyond what is kept, while it computes
};

struct DeviceMeasure {
  std::string device;  // "site/host/index"
  std::string chip;
  double usable_bytes = 0;
  double base_bytes = 0;  // of a worker that holds no model
  double pace = 0;
};

// A message of `bytes` was measured to pass at `bandwidth` (bytes/s), all its costs included.
struct LinkPoint {
  int64_t bytes = 0;
  double bandwidth = 0;
};

struct LinkMeasure {
  std::string from, to;           // sites, hosts or devices
  double bandwidth = 0;           // bytes/s
  double latency = 0;             // seconds, one way
  std::vector<LinkPoint> points;  // ascending by bytes; with them `bandwidth` holds beyond the last
};

struct Profile {
  std::string model;       // digest; times hold for this one
  bool estimated = false;  // from the catalog, not measured
  std::vector<LayerTime> layers;
  std::vector<DeviceMeasure> devices;
  std::vector<LinkMeasure> links;
};

// The entry of (chip, kind, tensor parallel) at `microbatch`; between measured sizes it is
// interpolated linearly in the microbatch, beyond the largest it grows in proportion. Error:
// kNotFound naming what there is.
Result<LayerTime> layer_time(const Profile& profile, const std::string& chip, LayerKind kind,
                             int microbatch, int tensor_parallel);

Json to_json(const Profile& profile);
Result<Profile> profile_from_json(const Json& json, const std::string& origin);
Result<Profile> read_profile(const std::filesystem::path& path);

}  // namespace skarv
