#include "trace_file.h"

#include <algorithm>
#include <cstdio>
#include <limits>
#include <map>

#include "base/file.h"
#include "base/json.h"
#include "base/text.h"

namespace skarv {

namespace {

struct RankTrace {
  std::filesystem::path path;
  Json events;
};

Result<RankTrace> read_trace(const std::filesystem::path& path) {
  SKARV_ASSIGN(Json json, read_json(path));
  const auto damaged = [&](const char* what) {
    return Status(Code::kDataLoss, Scope::kRun, cat("no trace of a worker: ", what))
        .at(path.string());
  };
  if (!json.is_object() || !json.contains("traceEvents") || !json["traceEvents"].is_array()) {
    return damaged("it has no list traceEvents");
  }
  for (const Json& event : json["traceEvents"]) {
    if (!event.is_object() || !event.contains("ph") || !event["ph"].is_string()) {
      return damaged("an event has no phase");
    }
    if (event["ph"] == "X" && (!event.contains("ts") || !event["ts"].is_number())) {
      return damaged("an action has no time");
    }
  }
  return RankTrace{path, std::move(json["traceEvents"])};
}

// By step, in the order of islands and ranks.
std::map<long long, std::vector<std::filesystem::path>> find_traces(
    const std::filesystem::path& folder, const std::vector<std::string>& islands) {
  std::map<long long, std::vector<std::filesystem::path>> by_step;
  for (const std::string& island : islands) {
    std::map<std::pair<long long, int>, std::filesystem::path> of_island;
    std::error_code error;
    for (const auto& entry :
         std::filesystem::directory_iterator(folder / island / "trace", error)) {
      long long step = 0;
      int rank = 0, end = 0;
      const std::string name = entry.path().filename().string();
      if (std::sscanf(name.c_str(), "step-%lld-rank-%d.json%n", &step, &rank, &end) == 2 &&
          end == static_cast<int>(name.size())) {
        of_island[{step, rank}] = entry.path();
      }
    }
    for (const auto& [key, path] : of_island) by_step[key.first].push_back(path);
  }
  return by_step;
}

}  // namespace

Result<std::filesystem::path> merge_traces(const std::filesystem::path& folder,
                                           const std::vector<std::string>& islands) {
  const auto by_step = find_traces(folder, islands);
  const auto most = std::max_element(by_step.begin(), by_step.end(), [](auto& a, auto& b) {
    return a.second.size() < b.second.size();
  });
  if (most == by_step.end()) {
    return Status(Code::kNotFound, Scope::kRun, "no device traced a step")
        .at(folder.string())
        .with_hint("a worker traces its third step: run at least three");
  }
  std::vector<RankTrace> traces;
  double begin = std::numeric_limits<double>::infinity();
  for (const auto& path : most->second) {
    SKARV_ASSIGN(RankTrace trace, read_trace(path));
    for (const Json& event : trace.events) {
      if (event["ph"] == "X") begin = std::min(begin, event["ts"].get<double>());
    }
    traces.push_back(std::move(trace));
  }
  Json events = Json::array();
  for (size_t process = 0; process < traces.size(); ++process) {
    // Ranks begin at 0 in every island; here each device is a process of its own.
    for (Json& event : traces[process].events) {
      event["pid"] = process;
      if (event["ph"] == "X") event["ts"] = event["ts"].get<double>() - begin;
      events.push_back(std::move(event));
    }
    events.push_back({{"ph", "M"},
                      {"name", "process_sort_index"},
                      {"pid", process},
                      {"tid", 0},
                      {"args", {{"sort_index", process}}}});
  }
  const auto path = folder / "trace.json";
  SKARV_TRY(write_file_atomic(path, Json{{"traceEvents", std::move(events)}}.dump() + "\n"));
  return path;
}

}  // namespace skarv
