#include "plan/report.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/text.h"

namespace skarv {
namespace {

constexpr size_t kLongTable = 16;  // rows

Json to_json(const DeviceMemory& memory) {
  return {{"weights", memory.weights},     {"gradients", memory.gradients},
          {"optimizer", memory.optimizer}, {"activations", memory.activations},
          {"buffers", memory.buffers},     {"base", memory.base},
          {"reserve", memory.reserve},     {"total", memory.total()},
          {"limit", memory.limit}};
}

std::string percent(double part) { return fixed(100 * part, 1) + " %"; }

// "12 pipelines of 2 stages x 17 samples ...", equal pipelines together.
std::string shape_of(const Island& island) {
  std::vector<std::pair<std::string, int>> shapes;  // in order of first appearance
  for (const Pipeline& pipeline : island.pipelines) {
    const size_t num_stages = pipeline.stages.size();
    std::string shape = cat(num_stages, num_stages == 1 ? " stage x " : " stages x ",
                            pipeline.samples, " samples in microbatches of ", pipeline.microbatch);
    if (num_stages > 1) shape += " (" + pipeline.schedule + ")";
    const auto known = std::ranges::find(shapes, shape, [](const auto& one) { return one.first; });
    if (known == shapes.end()) {
      shapes.emplace_back(std::move(shape), 1);
    } else {
      ++known->second;
    }
  }
  std::vector<std::string> texts;
  for (const auto& [shape, count] : shapes) {
    texts.push_back(count > 1 ? cat(count, " pipelines of ", shape) : shape);
  }
  return join(texts, ", ");
}

// Idle devices with one reason are one line.
std::string idle_lines(const Plan& plan) {
  std::vector<std::pair<std::string, std::vector<std::string>>> reasons;
  for (const IdleDevice& idle : plan.idle) {
    auto known = std::ranges::find(reasons, idle.reason, [](const auto& one) { return one.first; });
    if (known == reasons.end()) known = reasons.insert(known, {idle.reason, {}});
    known->second.push_back(idle.device);
  }
  std::string text;
  for (const auto& [reason, devices] : reasons) {
    text += cat("\n", devices.front(),
                devices.size() == 1 ? " stays" : cat(" and ", devices.size() - 1, " more stay"),
                " idle: ", reason);
  }
  return text;
}

// What the question marks of the table mean; empty: there are none.
std::string unverified_line(const PlanReport& report) {
  std::map<std::string, std::string> chips;
  for (const DeviceReport& device : report.devices) {
    if (!device.unverified.empty()) chips[device.chip] = join(device.unverified, ", ");
  }
  if (chips.empty()) return "";
  std::vector<std::string> texts;
  for (const auto& [chip, figures] : chips) texts.push_back(cat(chip, " (", figures, ")"));
  return cat(
      "?: estimated from figures of the chip catalog that nobody verified: ", join(texts, ", "),
      "; docs/design.md, 11, has their sources, `skarv probe` measures\n");
}

// The use whose part of its limit is the largest; empty: there is none.
struct MemoryUse {
  std::string where;
  int64_t bytes = 0, limit = 0;

  double part() const {
    return static_cast<double>(bytes) / static_cast<double>(std::max<int64_t>(1, limit));
  }
};
std::string fullest_line(const std::string& what, const std::vector<MemoryUse>& uses) {
  const auto most = std::ranges::max_element(uses, {}, &MemoryUse::part);
  if (most == uses.end()) return "";
  return cat(what, ": ", most->where, ", ", human_bytes(static_cast<double>(most->bytes)), " of ",
             human_bytes(static_cast<double>(most->limit)), "\n");
}

std::string fullest_lines(const PlanReport& report) {
  std::vector<MemoryUse> devices, keepers;
  for (const DeviceReport& device : report.devices) {
    devices.push_back({device.device, device.memory.total(), device.memory.limit});
  }
  for (const auto& [host, bytes] : report.keeper_bytes) {
    const auto limit = report.host_bytes.find(host);
    if (limit != report.host_bytes.end()) keepers.push_back({host, bytes, limit->second});
  }
  return fullest_line("fullest", devices) + fullest_line("fullest keeper", keepers);
}

}  // namespace

Json to_json(const PlanReport& report) {
  Json islands = Json::array(), devices = Json::array();
  for (const IslandReport& island : report.islands) {
    islands.push_back({{"name", island.name},
                       {"samples", island.samples},
                       {"step_seconds", island.step_seconds}});
  }
  for (const DeviceReport& device : report.devices) {
    devices.push_back({{"device", device.device},
                       {"island", device.island},
                       {"chip", device.chip},
                       {"unverified", device.unverified},
                       {"pace", device.pace},
                       {"layers", device.layers},
                       {"samples", device.samples},
                       {"memory", to_json(device.memory)},
                       {"busy_seconds", device.busy_seconds},
                       {"utilisation", device.utilisation},
                       {"alone_tokens_per_second", device.alone_tokens_per_second},
                       {"count", device.count}});
  }
  Json alternatives = Json::array();
  for (const AlternativeReport& other : report.alternatives) {
    alternatives.push_back({{"shape", other.shape}, {"step_seconds", other.step_seconds}});
  }
  return {{"estimated", report.estimated},
          {"step_seconds", report.step_seconds},
          {"tokens_per_second", report.tokens_per_second},
          {"kept_by_rounds", report.kept_by_rounds},
          {"sum_of_parts", report.sum_of_parts},
          {"efficiency", report.efficiency},
          {"integer_bound", report.integer_bound},
          {"limited_by", report.limited_by},
          {"best_single_chip", report.best_single_chip},
          {"best_single_tokens_per_second", report.best_single_tokens_per_second},
          {"alternatives", std::move(alternatives)},
          {"advice", report.advice},
          {"islands", std::move(islands)},
          {"devices", std::move(devices)},
          {"keeper_bytes", report.keeper_bytes},
          {"host_bytes", report.host_bytes},
          {"plan", to_json(report.plan)}};
}

std::string to_table(const PlanReport& report) {
  std::vector<std::vector<std::string>> rows = {
      {"device", "chip", "island", "layers", "samples", "memory", "of", "busy", "alone tokens/s"}};
  const bool is_long = report.devices.size() > kLongTable;
  std::set<std::string> seen;
  for (const DeviceReport& device : report.devices) {
    std::string chip = device.chip + (device.unverified.empty() ? "" : "?");
    if (device.pace > 0) chip += cat(" paced ", device.pace);
    const auto key = [](const DeviceReport& one) {
      return cat(one.chip, " ", one.pace, " ", one.island, " ", one.layers, " ", one.samples);
    };
    int64_t count = device.count;
    if (is_long) {  // devices that do the same are one row
      if (!seen.insert(key(device)).second) continue;
      count = 0;
      for (const DeviceReport& other : report.devices) {
        if (key(other) == key(device)) count += other.count;
      }
    }
    rows.push_back({count == 1 ? device.device : cat(device.device, " + ", count - 1), chip,
                    device.island, device.layers, cat(device.samples),
                    human_bytes(static_cast<double>(device.memory.total())),
                    human_bytes(static_cast<double>(device.memory.limit)),
                    percent(device.utilisation), fixed(device.alone_tokens_per_second, 1)});
  }
  std::string text = format_table(rows) + unverified_line(report);
  for (const IslandReport& island : report.islands) {
    text += cat("\n", island.name, ": ", shape_of(*report.plan.find_island(island.name)), "; step ",
                human_seconds(island.step_seconds));
  }
  text += idle_lines(report.plan);
  text += cat("\npredicted", report.estimated ? " from the catalog, not measured" : "", ": step ",
              human_seconds(report.step_seconds), ", ", fixed(report.tokens_per_second, 1),
              " tokens/s, ", percent(report.efficiency), " of the sum of the parts (",
              fixed(report.sum_of_parts, 1), " tokens/s; ", percent(report.integer_bound),
              " if its busiest device never waited)\n");
  if (report.kept_by_rounds < 0.9995) {
    text += cat("rounds between the islands take longer than steps cover them: ",
                fixed(report.tokens_per_second * report.kept_by_rounds, 1), " tokens/s are left, ",
                percent(report.kept_by_rounds), "\n");
  }
  if (report.best_single_tokens_per_second > 0) {
    const double kept = report.tokens_per_second * report.kept_by_rounds;
    text +=
        cat("the best plan on ", report.best_single_chip,
            " alone: ", fixed(report.best_single_tokens_per_second, 1), " tokens/s; this one is ",
            fixed(kept / report.best_single_tokens_per_second, 2), " times as fast\n");
  }
  if (!report.limited_by.empty()) text += report.limited_by + "\n";
  text += fullest_lines(report);
  for (const std::string& advice : report.advice) text += advice + "\n";
  if (!report.alternatives.empty()) text += "next best of another shape:\n";
  for (const AlternativeReport& other : report.alternatives) {
    text += cat("  ", human_seconds(other.step_seconds), " (",
                fixed(std::max(0.0, 100 * (other.step_seconds / report.step_seconds - 1)), 1),
                " % longer): ", other.shape, "\n");
  }
  return text;
}

}  // namespace skarv
