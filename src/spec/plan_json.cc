#include <algorithm>
#include <map>
#include <optional>

#include "base/text.h"
#include "spec/device_ranges.h"
#include "spec/document.h"
#include "spec/plan.h"

namespace skarv {
namespace {

constexpr int kVersion = 1;
constexpr int64_t kMaxDevices = 1 << 20;

const std::vector<std::pair<std::string, Recompute>> kRecomputes = {{"none", Recompute::kNone},
                                                                    {"full", Recompute::kFull}};

std::vector<std::string> read_devices(Fields& fields) {
  std::vector<std::string> devices;
  const std::vector<std::string> patterns = fields.texts("devices");
  for (size_t i = 0; i < patterns.size(); ++i) {
    if (!expand_ranges(patterns[i], devices)) {
      fields.fail(cat("devices[", i, "]"), cat("\"", patterns[i], "\" is not a range of devices"),
                  "write \"site/host/0\" or \"site/host[0-3]/[0-7]\"");
      return {};
    }
  }
  return devices;
}

// The stage of every replica.
std::vector<Stage> read_stage(Fields& fields, int64_t replicas) {
  Stage stage;
  const std::vector<int64_t> layers = fields.integers("layers", 0, 1 << 20);
  if (fields.has("layers") && layers.size() != 2) {
    fields.fail("layers", cat("layers has ", layers.size(), " numbers"),
                "write [first, one past the last]");
  }
  if (layers.size() == 2) {
    stage.first = static_cast<int>(layers[0]);
    stage.last = static_cast<int>(layers[1]);
  }
  fields.integer("tensor_parallel", stage.tensor_parallel, 1, 1024);
  fields.choice("recompute", stage.recompute, kRecomputes);
  const std::vector<std::string> devices = read_devices(fields);
  fields.require({"layers", "devices"});
  fields.finish();
  const int64_t needed = replicas * stage.tensor_parallel;
  if (static_cast<int64_t>(devices.size()) != needed) {
    fields.fail("devices",
                cat("names ", devices.size(), " devices, needs ", needed, " (replicas ", replicas,
                    " x tensor_parallel ", stage.tensor_parallel, ")"),
                "name one device for each");
    return {};
  }
  std::vector<Stage> stages(replicas, stage);
  for (int64_t replica = 0; replica < replicas; ++replica) {
    const auto begin = devices.begin() + replica * stage.tensor_parallel;
    stages[replica].devices.assign(begin, begin + stage.tensor_parallel);
  }
  return stages;
}

void read_pipelines(Fields& fields, Island& island) {
  Pipeline pipeline;
  int64_t replicas = 1;
  fields.integer("replicas", replicas, 1, kMaxDevices);
  fields.integer("microbatch", pipeline.microbatch, 1, 1 << 20);
  fields.text("schedule", pipeline.schedule);
  if (fields.has("samples") == fields.has("microbatches")) {
    fields.fail("samples", "needs either samples or microbatches", "give exactly one of the two");
  }
  fields.integer("samples", pipeline.samples, 1);
  int64_t num_microbatches = 0;
  fields.integer("microbatches", num_microbatches, 1);
  if (num_microbatches > 0) pipeline.samples = num_microbatches * pipeline.microbatch;
  std::vector<Pipeline> copies;
  for (Fields& stage_fields : fields.objects("stages")) {
    const std::vector<Stage> stages = read_stage(stage_fields, replicas);
    if (!fields.document().ok()) return;
    copies.resize(replicas, pipeline);
    for (int64_t i = 0; i < replicas; ++i) copies[i].stages.push_back(stages[i]);
  }
  fields.require({"microbatch", "stages"});
  fields.finish();
  if (copies.empty()) fields.fail("stages", "the pipeline has no stages", "add one");
  island.pipelines.insert(island.pipelines.end(), copies.begin(), copies.end());
}

Island read_island(Fields& fields) {
  Island island;
  fields.text("name", island.name);
  for (Fields& pipeline : fields.objects("pipelines")) read_pipelines(pipeline, island);
  fields.require({"name", "pipelines"});
  fields.finish();
  return island;
}

std::vector<std::string> expand(Fields& fields, const std::string& key,
                                const std::string& pattern) {
  std::vector<std::string> devices;
  if (expand_ranges(pattern, devices)) return devices;
  fields.fail(key, cat("\"", pattern, "\" is not a range of devices"),
              "write \"site/host/0\" or \"site/host[0-3]/[0-7]\"");
  return {};
}

void read_rest(Fields& fields, Plan& plan) {
  for (Fields& idle : fields.objects("idle")) {
    IdleDevice device;
    idle.text("device", device.device);
    idle.text("reason", device.reason);
    idle.require({"device"});
    idle.finish();
    for (const std::string& name : expand(idle, "device", device.device)) {
      plan.idle.push_back({name, device.reason});
    }
  }
  if (std::optional<Fields> shares = fields.object("owner_share")) {
    for (const std::string& pattern : shares->keys()) {
      double share = 1;
      shares->number(pattern, share, 0, 1e18);
      for (const std::string& device : expand(*shares, pattern, pattern)) {
        plan.owner_share[device] = share;
      }
    }
  }
}

// Equal but for devices.
bool is_replica(const Pipeline& a, const Pipeline& b) {
  return a.microbatch == b.microbatch && a.samples == b.samples && a.schedule == b.schedule &&
         std::ranges::equal(a.stages, b.stages, [](const Stage& one, const Stage& other) {
           return one.first == other.first && one.last == other.last &&
                  one.tensor_parallel == other.tensor_parallel && one.recompute == other.recompute;
         });
}

// Pipelines [first, end), replicas of each other.
Json json_of(const Island& island, size_t first, size_t end) {
  const Pipeline& pipeline = island.pipelines[first];
  Json stages = Json::array();
  for (size_t s = 0; s < pipeline.stages.size(); ++s) {
    const Stage& stage = pipeline.stages[s];
    std::vector<std::string> devices;
    for (size_t p = first; p < end; ++p) {
      const std::vector<std::string>& own = island.pipelines[p].stages[s].devices;
      devices.insert(devices.end(), own.begin(), own.end());
    }
    stages.push_back({{"layers", {stage.first, stage.last}},
                      {"devices", compress_names(devices)},
                      {"tensor_parallel", stage.tensor_parallel},
                      {"recompute", stage.recompute == Recompute::kFull ? "full" : "none"}});
  }
  Json json = Json::object();
  if (end > first + 1) json["replicas"] = end - first;
  json["microbatch"] = pipeline.microbatch;
  json["samples"] = pipeline.samples;
  json["schedule"] = pipeline.schedule;
  json["stages"] = std::move(stages);
  return json;
}

Json shares_of(const Plan& plan) {
  std::map<double, std::vector<std::string>> by_share;
  for (const auto& [device, share] : plan.owner_share) by_share[share].push_back(device);
  Json shares = Json::object();
  for (auto& [share, devices] : by_share) {
    // Host 2 before host 10, so that ranges are long.
    std::ranges::stable_sort(devices, {}, &std::string::size);
    for (const std::string& pattern : compress_names(devices)) shares[pattern] = share;
  }
  return shares;
}

}  // namespace

Json to_json(const Plan& plan) {
  Json islands = Json::array();
  for (const Island& island : plan.islands) {
    Json pipelines = Json::array();
    for (size_t first = 0; first < island.pipelines.size();) {
      size_t end = first + 1;
      while (end < island.pipelines.size() &&
             is_replica(island.pipelines[first], island.pipelines[end])) {
        ++end;
      }
      pipelines.push_back(json_of(island, first, end));
      first = end;
    }
    islands.push_back({{"name", island.name}, {"pipelines", std::move(pipelines)}});
  }
  Json json = {{"version", kVersion}, {"model", plan.model.hex()}, {"islands", std::move(islands)}};
  Json& idle = json["idle"] = Json::array();
  for (size_t first = 0; first < plan.idle.size();) {
    std::vector<std::string> names;
    const std::string& reason = plan.idle[first].reason;
    for (; first < plan.idle.size() && plan.idle[first].reason == reason; ++first) {
      names.push_back(plan.idle[first].device);
    }
    for (const std::string& pattern : compress_names(names)) {
      idle.push_back({{"device", pattern}, {"reason", reason}});
    }
  }
  json["owner_share"] = shares_of(plan);
  return json;
}

Result<Plan> plan_from_json(const Json& json, const std::string& origin) {
  Document document = Document::from_json(json, origin);
  Fields fields = Fields::of(document);
  Plan plan;
  int version = kVersion;
  fields.integer("version", version, 0);
  if (version != kVersion) {
    fields.fail("version", cat("plan of version ", version, ", this program reads ", kVersion),
                "make the plan again");
  }
  std::string model;
  fields.text("model", model);
  if (const Result<Digest> digest = Digest::parse(model); digest.ok()) {
    plan.model = *digest;
  } else if (fields.has("model")) {
    fields.fail("model", "model is not a digest of 64 hexadecimal letters",
                "copy it from a plan that `skarv plan` made for this model");
  }
  for (Fields& island : fields.objects("islands")) plan.islands.push_back(read_island(island));
  read_rest(fields, plan);
  fields.require({"version", "model", "islands"});
  fields.finish();
  if (!document.ok()) return document.status();
  return plan;
}

Result<Plan> read_plan(const std::filesystem::path& path) {
  SKARV_ASSIGN(const Json json, read_json(path));
  return plan_from_json(json, path.string());
}

}  // namespace skarv
