#include "plan/report.h"

#include <algorithm>

#include "base/text.h"

namespace skarv {
namespace {

Json to_json(const DeviceMemory& memory) {
  return {{"weights", memory.weights},     {"gradients", memory.gradients},
          {"optimizer", memory.optimizer}, {"activations", memory.activations},
          {"base", memory.base},           {"total", memory.total()},
          {"limit", memory.limit}};
}

std::string percent(double part) { return fixed(100 * part, 1) + " %"; }

std::string shape_of(const Island& island) {
  std::string text;
  for (const Pipeline& pipeline : island.pipelines) {
    text += cat(text.empty() ? "" : ", ", pipeline.stages.size(),
                pipeline.stages.size() == 1 ? " stage x " : " stages x ", pipeline.samples,
                " samples in microbatches of ", pipeline.microbatch);
    if (pipeline.stages.size() > 1) text += " (" + pipeline.schedule + ")";
  }
  return text;
}

}  // namespace

Json to_json(const PlanReport& report) {
  Json islands = Json::array(), devices = Json::array(), keepers = Json::object();
  for (const IslandReport& island : report.islands) {
    islands.push_back({{"name", island.name},
                       {"samples", island.samples},
                       {"step_seconds", island.step_seconds}});
  }
  for (const DeviceReport& device : report.devices) {
    devices.push_back({{"device", device.device},
                       {"island", device.island},
                       {"chip", device.chip},
                       {"pace", device.pace},
                       {"layers", device.layers},
                       {"samples", device.samples},
                       {"memory", to_json(device.memory)},
                       {"busy_seconds", device.busy_seconds},
                       {"utilisation", device.utilisation},
                       {"alone_tokens_per_second", device.alone_tokens_per_second}});
  }
  for (const auto& [host, bytes] : report.keeper_bytes) keepers[host] = bytes;
  return {{"estimated", report.estimated},
          {"step_seconds", report.step_seconds},
          {"tokens_per_second", report.tokens_per_second},
          {"sum_of_parts", report.sum_of_parts},
          {"efficiency", report.efficiency},
          {"integer_bound", report.integer_bound},
          {"islands", std::move(islands)},
          {"devices", std::move(devices)},
          {"keeper_bytes", std::move(keepers)},
          {"plan", to_json(report.plan)}};
}

std::string to_table(const PlanReport& report) {
  std::vector<std::vector<std::string>> rows = {
      {"device", "chip", "island", "layers", "samples", "memory", "of", "busy", "alone tokens/s"}};
  for (const DeviceReport& device : report.devices) {
    std::string chip = device.chip;
    if (device.pace > 0) chip += cat(" paced ", device.pace);
    rows.push_back({device.device, chip, device.island, device.layers, cat(device.samples),
                    human_bytes(static_cast<double>(device.memory.total())),
                    human_bytes(static_cast<double>(device.memory.limit)),
                    percent(device.utilisation), fixed(device.alone_tokens_per_second, 1)});
  }
  std::string text = format_table(rows);
  for (const IslandReport& island : report.islands) {
    text += cat("\n", island.name, ": ", shape_of(*report.plan.find_island(island.name)), "; step ",
                human_seconds(island.step_seconds));
  }
  for (const IdleDevice& idle : report.plan.idle) {
    text += cat("\n", idle.device, " stays idle: ", idle.reason);
  }
  text += cat("\npredicted", report.estimated ? " from the catalog, not measured" : "", ": step ",
              human_seconds(report.step_seconds), ", ", fixed(report.tokens_per_second, 1),
              " tokens/s, ", percent(report.efficiency), " of the sum of the parts (",
              fixed(report.sum_of_parts, 1), " tokens/s; whole layers and samples allow ",
              percent(report.integer_bound), ")\n");
  return text;
}

}  // namespace skarv
