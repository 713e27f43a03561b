#include <cmath>
#include <map>
#include <set>

#include "base/text.h"
#include "spec/name.h"
#include "spec/plan.h"

namespace skarv {
namespace {

Status refuse(const std::string& where, std::string message, std::string hint) {
  return config_error(std::move(message)).at(where).with_hint(std::move(hint));
}

class PlanCheck {
 public:
  PlanCheck(const Model& model, const std::map<std::string, DeviceInfo>& devices)
      : model_(model), devices_(devices) {
    for (const auto& [name, info] : devices) names_.push_back(name);
  }

  Status check_pipeline(const Pipeline& pipeline, const std::string& where) {
    if (pipeline.microbatch < 1 || pipeline.samples < 1) {
      return refuse(where,
                    cat("microbatch ", pipeline.microbatch, " and samples ", pipeline.samples,
                        " have to be positive"),
                    "leave a pipeline without samples out");
    }
    int next = 0;
    std::set<std::string> mine;
    for (size_t i = 0; i < pipeline.stages.size(); ++i) {
      const Stage& stage = pipeline.stages[i];
      const std::string place = cat(where, ".stages[", i, "]");
      if (stage.first != next || stage.last <= stage.first) {
        return refuse(place + ".layers",
                      cat("layers ", stage.first, " to ", stage.last, " do not follow layer ", next,
                          stage.first < next ? ": a layer is held twice" : ""),
                      "every pipeline covers all layers once, in order");
      }
      next = stage.last;
      SKARV_TRY(check_stage(stage, place));
      mine.insert(stage.devices.begin(), stage.devices.end());
    }
    if (next != model_.num_layers()) {
      return refuse(where + ".stages",
                    cat("the stages end at layer ", next, ", the model has ", model_.num_layers(),
                        " (embedding, ", model_.num_blocks, " blocks, head)"),
                    "let the last stage end there");
    }
    for (const std::string& device : mine) SKARV_TRY(use(device, where));
    return {};
  }

  Status use(const std::string& device, const std::string& where) {
    const auto [entry, is_new] = used_.emplace(device, where);
    if (is_new) return {};
    return refuse(where, cat("device ", device, " is already used in ", entry->second),
                  "a device belongs to one pipeline");
  }

  Status known(const std::string& device, const std::string& where) const {
    if (devices_.contains(device)) return {};
    const std::string near = nearest_name(device, names_);
    return Status(Code::kNotFound, Scope::kConfig, cat("the cluster has no device ", device))
        .at(where)
        .with_hint(near.empty() ? "name it as site/host/index" : cat("did you mean ", near, "?"));
  }

 private:
  Status check_stage(const Stage& stage, const std::string& where) const {
    if (static_cast<int>(stage.devices.size()) != stage.tensor_parallel) {
      return refuse(
          where + ".devices",
          cat(stage.devices.size(), " devices for tensor_parallel ", stage.tensor_parallel),
          "name as many devices as tensor_parallel says");
    }
    if (model_.num_heads % stage.tensor_parallel != 0 ||
        model_.num_kv_heads % stage.tensor_parallel != 0) {
      return refuse(where + ".tensor_parallel",
                    cat("tensor_parallel ", stage.tensor_parallel, " does not divide ",
                        model_.num_heads, " heads and ", model_.num_kv_heads, " kv_heads"),
                    "choose a divisor of both");
    }
    std::set<std::string> members;
    for (const std::string& device : stage.devices) {
      SKARV_TRY(known(device, where + ".devices"));
      if (!members.insert(device).second) {
        return refuse(where + ".devices", cat("device ", device, " stands there twice"),
                      "name different devices");
      }
      const Chip& first = devices_.at(stage.devices[0]).chip;
      const Chip& chip = devices_.at(device).chip;
      if (chip.maker != first.maker || chip.name != first.name) {
        return refuse(where + ".devices",
                      cat("a tensor-parallel group mixes ", first.name, " and ", chip.name),
                      "use one chip type in it; chips meet between stages, pipelines or islands");
      }
    }
    return {};
  }

  const Model& model_;
  const std::map<std::string, DeviceInfo>& devices_;
  std::vector<std::string> names_;
  std::map<std::string, std::string> used_;
};

Status check_totals(const Plan& plan, const Run& run) {
  int64_t samples = 0;
  for (const Island& island : plan.islands) samples += island.samples();
  if (samples != run.global_batch) {
    return refuse("islands",
                  cat("the pipelines take ", samples, " samples a step, the run's global_batch is ",
                      run.global_batch),
                  "change the samples of the pipelines: the global batch belongs to the run");
  }
  if (run.exchange.min_contributors > static_cast<int>(plan.islands.size())) {
    return refuse("islands",
                  cat("the run waits for min_contributors = ", run.exchange.min_contributors,
                      " islands, the plan has ", plan.islands.size()),
                  "lower exchange.min_contributors in the run file or plan more islands");
  }
  return {};
}

}  // namespace

Status check_plan(const Plan& plan, const Model& model, const Run& run, const Cluster& cluster) {
  if (plan.model != digest_of(model)) {
    return refuse("model",
                  cat("the plan was made for the model ", plan.model.short_hex(), ", this is ",
                      digest_of(model).short_hex()),
                  "make a plan for this model: skarv plan");
  }
  SKARV_ASSIGN(const std::vector<DeviceInfo> infos, expand_devices(cluster));
  std::map<std::string, DeviceInfo> devices;
  for (const DeviceInfo& info : infos) devices.emplace(info.name, info);
  PlanCheck check(model, devices);
  if (plan.islands.empty()) return refuse("islands", "the plan has no islands", "add one");
  std::set<std::string> names;
  for (size_t i = 0; i < plan.islands.size(); ++i) {
    const Island& island = plan.islands[i];
    const std::string where = cat("islands[", i, "]");
    if (const MaybeProblem problem = problem_of_island_name(where + ".name", island.name)) {
      return refuse(problem->path, problem->message, problem->hint);
    }
    if (!names.insert(island.name).second) {
      return refuse(where + ".name", cat("the name \"", island.name, "\" is used twice"),
                    "give every island its own name");
    }
    if (island.pipelines.empty()) {
      return refuse(where + ".pipelines", "the island has no pipelines", "add one");
    }
    for (size_t j = 0; j < island.pipelines.size(); ++j) {
      SKARV_TRY(check.check_pipeline(island.pipelines[j], cat(where, ".pipelines[", j, "]")));
    }
  }
  for (size_t i = 0; i < plan.idle.size(); ++i) {
    const std::string where = cat("idle[", i, "]");
    SKARV_TRY(check.known(plan.idle[i].device, where));
    SKARV_TRY(check.use(plan.idle[i].device, where));
  }
  for (const auto& [device, share] : plan.owner_share) {
    const std::string where = "owner_share." + device;
    SKARV_TRY(check.known(device, where));
    if (!(share >= 0) || !std::isfinite(share)) {
      return refuse(where, cat("the share is ", share), "choose 0 or more");
    }
  }
  return check_totals(plan, run);
}

}  // namespace skarv
