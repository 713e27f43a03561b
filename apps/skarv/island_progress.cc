#include "island_progress.h"

#include <algorithm>

#include "base/file.h"
#include "base/text.h"

namespace skarv {

namespace {

template <typename V, typename T>
void visit_fields(V& v, T& r) {
  if constexpr (std::is_same_v<std::remove_const_t<T>, DeviceProgress>) {
    v("device", r.device), v("chip", r.chip), v("pace", r.pace), v("tokens", r.tokens);
    v("busy_seconds", r.busy_seconds), v("wait_seconds", r.wait_seconds);
    v("missed_slots", r.missed_slots), v("bytes_sent", r.bytes_sent);
    v("peak_bytes", r.peak_bytes);
  } else {
    v("island", r.island), v("steps", r.steps), v("rounds", r.rounds), v("tokens", r.tokens);
    v("seconds", r.seconds), v("outer_wait_seconds", r.outer_wait_seconds);
    v("step_seconds", r.step_seconds), v("loss", r.loss), v("wan_sent", r.wan_sent);
    v("wan_received", r.wan_received), v("worker_restarts", r.worker_restarts);
    v("agent_starts", r.agent_starts), v("num_skipped", r.num_skipped);
    v("state_digest", r.state_digest), v("awaits", r.awaits);
  }
}

template <typename T>
Json write_fields(const T& value) {
  Json json = Json::object();
  auto write = [&](const char* name, const auto& field) { json[name] = field; };
  visit_fields(write, value);
  return json;
}

template <typename T>
void read_fields(const Json& json, T& value) {
  auto read = [&](const char* name, auto& field) { json.at(name).get_to(field); };
  visit_fields(read, value);
}

}  // namespace

Json to_json(const IslandProgress& report) {
  Json json = write_fields(report);
  json["devices"] = Json::array();
  for (const DeviceProgress& device : report.devices)
    json["devices"].push_back(write_fields(device));
  return json;
}

std::string progress_text(const std::vector<IslandProgress>& islands, int64_t total_steps,
                          double seconds_left) {
  std::string waits, rates;
  int64_t steps = total_steps, sent = 0;
  double loss = 0, tokens = 0;
  for (const IslandProgress& island : islands) {
    steps = std::min(steps, island.steps);
    sent += island.wan_sent;
    loss += island.loss * static_cast<double>(island.tokens);
    tokens += static_cast<double>(island.tokens);
    if (!island.awaits.empty()) {
      waits += cat("  ", island.island, " awaits ", split(island.awaits, '\n').front());
    }
    rates += cat("  ", island.island);
    for (const DeviceProgress& device : island.devices) {
      const double rate =
          island.seconds > 0 ? static_cast<double>(device.tokens) / island.seconds : 0;
      rates += cat(" ", device.chip, ":", fixed(rate, 0));
    }
    rates += " tok/s";
  }
  return cat("step ", steps, "/", total_steps, "  loss ",
             tokens > 0 ? fixed(loss / tokens, 3) : "?", "  left ", human_seconds(seconds_left),
             "  WAN ", human_bytes(static_cast<double>(sent)), waits, rates);
}

Result<IslandProgress> island_progress_from_json(const Json& json, const std::string& origin) {
  IslandProgress report;
  try {
    read_fields(json, report);
    for (const Json& device : json.at("devices")) {
      read_fields(device, report.devices.emplace_back());
    }
  } catch (const Json::exception& error) {
    return config_error(std::string("not an island's report: ") + error.what()).at(origin);
  }
  return report;
}

Status write_progress(const IslandProgress& report, const std::filesystem::path& path) {
  return write_file_atomic(path, to_json(report).dump(1) + "\n");
}

Result<IslandProgress> read_progress(const std::filesystem::path& path) {
  SKARV_ASSIGN(const Json json, read_json(path));
  return island_progress_from_json(json, path.string());
}

}  // namespace skarv
