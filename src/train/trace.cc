#include "train/trace.h"

#include "base/file.h"
#include "base/json.h"
#include "base/text.h"

namespace skarv::train {

Status write_trace(const std::filesystem::path& folder, const std::string& device, int rank,
                   int64_t step, const std::vector<ActionRecord>& records) {
  const auto microseconds = [](Duration duration) {
    return std::chrono::duration<double, std::micro>(duration).count();
  };
  Json events = Json::array();
  events.push_back({{"ph", "M"},
                    {"name", "process_name"},
                    {"pid", rank},
                    {"tid", 0},
                    {"args", {{"name", device}}}});
  for (const ActionRecord& record : records) {
    events.push_back(
        {{"ph", "X"},
         {"name", name_of(record.action.kind)},
         {"cat", is_compute(record.action.kind) ? "compute" : "transfer"},
         {"pid", rank},
         {"tid", 0},
         {"ts", microseconds(record.start.time_since_epoch())},
         {"dur", microseconds(record.end - record.start)},
         {"args",
          {{"action", to_string(record.action)}, {"step", step}, {"bytes", record.bytes}}}});
  }
  SKARV_TRY(make_directories(folder));
  return write_file_atomic(folder / cat("step-", step, "-rank-", rank, ".json"),
                           Json{{"traceEvents", std::move(events)}}.dump());
}

}  // namespace skarv::train
