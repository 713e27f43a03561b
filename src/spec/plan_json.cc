#include <optional>

#include "base/text.h"
#include "spec/document.h"
#include "spec/plan.h"

namespace skarv {
namespace {

constexpr int kVersion = 1;
constexpr int64_t kMaxDevices = 1 << 20;

const std::vector<std::pair<std::string, Recompute>> kRecomputes = {{"none", Recompute::kNone},
                                                                    {"full", Recompute::kFull}};

// "north/a[0-15]/[0-7]": every range counts up, the last one fastest. False on a range that is not
// one, or that would be more devices than any plan has.
bool expand_ranges(const std::string& pattern, std::vector<std::string>& out) {
  const size_t open = pattern.find('[');
  if (open == std::string::npos) {
    out.push_back(pattern);
    return static_cast<int64_t>(out.size()) <= kMaxDevices;
  }
  const size_t dash = pattern.find('-', open), close = pattern.find(']', open);
  if (dash == std::string::npos || close == std::string::npos || dash > close) return false;
  const auto number = [&](size_t begin, size_t end) -> int64_t {
    if (end <= begin || end - begin > 7) return -1;
    int64_t value = 0;
    for (size_t i = begin; i < end; ++i) {
      if (pattern[i] < '0' || pattern[i] > '9') return -1;
      value = value * 10 + (pattern[i] - '0');
    }
    return value;
  };
  const int64_t first = number(open + 1, dash), last = number(dash + 1, close);
  if (first < 0 || last < first || last - first >= kMaxDevices) return false;
  for (int64_t i = first; i <= last; ++i) {
    if (!expand_ranges(cat(pattern.substr(0, open), i, pattern.substr(close + 1)), out))
      return false;
  }
  return true;
}

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

void read_rest(Fields& fields, Plan& plan) {
  for (Fields& idle : fields.objects("idle")) {
    IdleDevice& device = plan.idle.emplace_back();
    idle.text("device", device.device);
    idle.text("reason", device.reason);
    idle.require({"device"});
    idle.finish();
  }
  if (std::optional<Fields> shares = fields.object("owner_share")) {
    for (const std::string& device : shares->keys()) {
      shares->number(device, plan.owner_share[device], 0, 1e18);
    }
  }
}

}  // namespace

Json to_json(const Plan& plan) {
  Json islands = Json::array();
  for (const Island& island : plan.islands) {
    Json pipelines = Json::array();
    for (const Pipeline& pipeline : island.pipelines) {
      Json stages = Json::array();
      for (const Stage& stage : pipeline.stages) {
        stages.push_back({{"layers", {stage.first, stage.last}},
                          {"devices", stage.devices},
                          {"tensor_parallel", stage.tensor_parallel},
                          {"recompute", stage.recompute == Recompute::kFull ? "full" : "none"}});
      }
      pipelines.push_back({{"microbatch", pipeline.microbatch},
                           {"samples", pipeline.samples},
                           {"schedule", pipeline.schedule},
                           {"stages", std::move(stages)}});
    }
    islands.push_back({{"name", island.name}, {"pipelines", std::move(pipelines)}});
  }
  Json json = {{"version", kVersion}, {"model", plan.model.hex()}, {"islands", std::move(islands)}};
  Json& idle = json["idle"] = Json::array();
  for (const IdleDevice& device : plan.idle) {
    idle.push_back({{"device", device.device}, {"reason", device.reason}});
  }
  Json& shares = json["owner_share"] = Json::object();
  for (const auto& [device, share] : plan.owner_share) shares[device] = share;
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
