#include "spec/profile.h"

#include <algorithm>
#include <limits>
#include <set>
#include <tuple>

#include "base/text.h"
#include "spec/document.h"

namespace skarv {
namespace {

constexpr double kMost = std::numeric_limits<double>::max();
constexpr double kLongestLatency = 3600;
const std::vector<std::pair<std::string, LayerKind>> kKinds = {
    {"embedding", LayerKind::kEmbedding}, {"block", LayerKind::kBlock}, {"head", LayerKind::kHead}};

// Every figure but the optimizer's grows with the microbatch.
LayerTime blend(const LayerTime& a, const LayerTime& b, int microbatch) {
  const double part = static_cast<double>(microbatch - a.microbatch) /
                      static_cast<double>(b.microbatch - a.microbatch);
  const auto between = [&](double x, double y) { return x + (y - x) * part; };
  LayerTime time = a;
  time.microbatch = microbatch;
  time.forward = between(a.forward, b.forward);
  time.backward_input = between(a.backward_input, b.backward_input);
  time.backward_weight = between(a.backward_weight, b.backward_weight);
  time.activation_bytes = between(a.activation_bytes, b.activation_bytes);
  time.transient_bytes = between(a.transient_bytes, b.transient_bytes);
  time.update = between(a.update, b.update);
  return time;
}

LayerTime grow(const LayerTime& a, int microbatch) {
  const double factor = static_cast<double>(microbatch) / a.microbatch;
  LayerTime time = a;
  time.microbatch = microbatch;
  time.forward *= factor;
  time.backward_input *= factor;
  time.backward_weight *= factor;
  time.activation_bytes *= factor;
  time.transient_bytes *= factor;
  return time;
}

LayerTime read_layer(Fields& fields) {
  LayerTime time;
  fields.text("chip", time.chip);
  fields.choice("kind", time.kind, kKinds);
  fields.integer("microbatch", time.microbatch, 1);
  fields.integer("tensor_parallel", time.tensor_parallel, 1, 1024);
  fields.quantity("forward", time.forward, Quantity::kSeconds);
  fields.quantity("backward_input", time.backward_input, Quantity::kSeconds);
  fields.quantity("backward_weight", time.backward_weight, Quantity::kSeconds);
  fields.quantity("update", time.update, Quantity::kSeconds);
  fields.quantity("activation_bytes", time.activation_bytes, Quantity::kBytes);
  fields.quantity("transient_bytes", time.transient_bytes, Quantity::kBytes);
  fields.require({"chip", "kind", "microbatch", "forward", "backward_input", "backward_weight"});
  fields.finish();
  return time;
}

void read_point(Fields& fields, LinkMeasure& link) {
  LinkPoint point;
  fields.integer("bytes", point.bytes, 1, int64_t{1} << 50);
  fields.quantity("bandwidth", point.bandwidth, Quantity::kBytesPerSecond);
  fields.require({"bytes", "bandwidth"});
  fields.finish();
  if (!(point.bandwidth > 0 && point.bandwidth < kMost)) {
    fields.fail("bandwidth", "the bandwidth is 0", "leave the point out or give its rate");
  }
  if (!link.points.empty() && point.bytes <= link.points.back().bytes) {
    fields.fail("bytes", "not more than those of the point before", "points ascend by bytes");
  }
  link.points.push_back(point);
}

}  // namespace

const char* name_of(LayerKind kind) {
  switch (kind) {
    case LayerKind::kEmbedding:
      return "embedding";
    case LayerKind::kBlock:
      return "block";
    case LayerKind::kHead:
      return "head";
  }
  return "unknown";
}

Result<LayerTime> layer_time(const Profile& profile, const std::string& chip, LayerKind kind,
                             int microbatch, int tensor_parallel) {
  const LayerTime* below = nullptr;  // largest measured size up to the wanted one
  const LayerTime* above = nullptr;  // smallest beyond it
  std::set<std::string> chips;
  for (const LayerTime& time : profile.layers) {
    chips.insert(time.chip);
    if (time.chip != chip || time.kind != kind || time.tensor_parallel != tensor_parallel) continue;
    if (time.microbatch <= microbatch) {
      if (below == nullptr || time.microbatch > below->microbatch) below = &time;
    } else if (above == nullptr || time.microbatch < above->microbatch) {
      above = &time;
    }
  }
  if (below != nullptr) {
    if (below->microbatch == microbatch) return *below;
    return above != nullptr ? blend(*below, *above, microbatch) : grow(*below, microbatch);
  }
  // Below the smallest size time does not shrink in proportion: that size is an upper bound.
  if (above != nullptr) return *above;
  std::string what = chips.contains(chip) ? cat("no ", name_of(kind), " of ", chip,
                                                " with tensor_parallel ", tensor_parallel)
                                          : cat("no chip ", chip);
  const std::vector<std::string> known(chips.begin(), chips.end());
  return Status(Code::kNotFound, Scope::kConfig, "the profile has " + what)
      .with_hint(cat("it has ", known.empty() ? "nothing" : join(known, ", "),
                     ": measure the missing one with `skarv probe`"));
}

Json to_json(const Profile& profile) {
  Json layers = Json::array(), devices = Json::array(), links = Json::array();
  for (const LayerTime& time : profile.layers) {
    layers.push_back({{"chip", time.chip},
                      {"kind", name_of(time.kind)},
                      {"microbatch", time.microbatch},
                      {"tensor_parallel", time.tensor_parallel},
                      {"forward", time.forward},
                      {"backward_input", time.backward_input},
                      {"backward_weight", time.backward_weight},
                      {"update", time.update},
                      {"activation_bytes", time.activation_bytes},
                      {"transient_bytes", time.transient_bytes}});
  }
  for (const DeviceMeasure& device : profile.devices) {
    devices.push_back({{"device", device.device},
                       {"chip", device.chip},
                       {"usable_bytes", device.usable_bytes},
                       {"base_bytes", device.base_bytes},
                       {"pace", device.pace}});
  }
  for (const LinkMeasure& link : profile.links) {
    Json& item = links.emplace_back(Json{{"from", link.from},
                                         {"to", link.to},
                                         {"bandwidth", link.bandwidth},
                                         {"latency", link.latency}});
    for (const LinkPoint& point : link.points) {
      item["points"].push_back({{"bytes", point.bytes}, {"bandwidth", point.bandwidth}});
    }
  }
  return {{"model", profile.model},
          {"estimated", profile.estimated},
          {"layers", std::move(layers)},
          {"devices", std::move(devices)},
          {"links", std::move(links)}};
}

Result<Profile> profile_from_json(const Json& json, const std::string& origin) {
  Document document = Document::from_json(json, origin);
  Fields fields = Fields::of(document);
  Profile profile;
  fields.text("model", profile.model);
  fields.boolean("estimated", profile.estimated);
  std::set<std::tuple<std::string, LayerKind, int, int>> measured;
  for (Fields& layer : fields.objects("layers")) {
    const LayerTime& time = profile.layers.emplace_back(read_layer(layer));
    if (measured.insert({time.chip, time.kind, time.microbatch, time.tensor_parallel}).second) {
      continue;
    }
    layer.fail("microbatch",
               cat("a second ", name_of(time.kind), " of ", time.chip, " with microbatch ",
                   time.microbatch, " and tensor_parallel ", time.tensor_parallel),
               "keep one of the two");
  }
  for (Fields& member : fields.objects("devices")) {
    DeviceMeasure& device = profile.devices.emplace_back();
    member.text("device", device.device);
    member.text("chip", device.chip);
    member.quantity("usable_bytes", device.usable_bytes, Quantity::kBytes);
    member.quantity("base_bytes", device.base_bytes, Quantity::kBytes);
    member.number("pace", device.pace, 0, 1000);
    member.require({"device", "chip"});
    member.finish();
  }
  for (Fields& member : fields.objects("links")) {
    LinkMeasure& link = profile.links.emplace_back();
    member.text("from", link.from);
    member.text("to", link.to);
    member.quantity("bandwidth", link.bandwidth, Quantity::kBytesPerSecond);
    member.quantity("latency", link.latency, Quantity::kSeconds);
    for (Fields& item : member.objects("points")) read_point(item, link);
    member.require({"from", "to", "bandwidth"});
    member.finish();
    if (!(link.bandwidth > 0 && link.bandwidth < kMost)) {
      member.fail("bandwidth", "the bandwidth is 0", "leave the link out or give its rate");
    }
    if (!(link.latency <= kLongestLatency)) {
      member.fail("latency", cat(link.latency, " s is more than an hour"),
                  "write a time such as \"20 ms\"");
    }
  }
  fields.require({"layers"});
  fields.finish();
  if (!document.ok()) return document.status();
  return profile;
}

Result<Profile> read_profile(const std::filesystem::path& path) {
  SKARV_ASSIGN(const Json json, read_json(path));
  return profile_from_json(json, path.string());
}

}  // namespace skarv
