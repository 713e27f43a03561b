#include "stats.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <sstream>
#include <utility>
#include <vector>

namespace toy {
namespace {

struct Table {
  std::mutex mutex;
  std::map<std::pair<std::string, Way>, OpCounter> counters;  // nodes never move
};

Table& table() {
  static auto* const instance = new Table;
  return *instance;
}

struct Row {
  std::string op;
  Way way;
  int64_t num_calls;
  double seconds;
};

std::vector<Row> rows_by_time() {
  std::vector<Row> rows;
  const std::lock_guard lock(table().mutex);
  for (const auto& [key, counter] : table().counters) {
    if (counter.num_calls == 0) continue;
    rows.push_back({key.first, key.second, counter.num_calls, counter.nanoseconds * 1e-9});
  }
  std::sort(rows.begin(), rows.end(),
            [](const Row& a, const Row& b) { return a.seconds > b.seconds; });
  return rows;
}

const char* name_of(Way way) { return way == Way::kOwn ? "own" : "fallback"; }

}  // namespace

OpCounter& counter_of(const std::string& op, Way way) {
  const std::lock_guard lock(table().mutex);
  return table().counters[{op, way}];
}

}  // namespace toy

const char* skarv_toy_stats_json() {
  thread_local std::string text;
  const std::vector<toy::Row> rows = toy::rows_by_time();
  int64_t num_calls[2] = {0, 0};
  double seconds[2] = {0, 0};
  for (const toy::Row& row : rows) {
    num_calls[static_cast<int>(row.way)] += row.num_calls;
    seconds[static_cast<int>(row.way)] += row.seconds;
  }
  std::ostringstream out;
  out << "{";
  for (const toy::Way way : {toy::Way::kOwn, toy::Way::kFallback}) {
    out << "\"" << toy::name_of(way) << "\": {\"calls\": " << num_calls[static_cast<int>(way)]
        << ", \"seconds\": " << seconds[static_cast<int>(way)] << "}, ";
  }
  const double total = seconds[0] + seconds[1];
  out << "\"fallback_share\": " << (total > 0 ? seconds[1] / total : 0.0) << ", \"ops\": [";
  const char* comma = "";
  for (const toy::Row& row : rows) {
    out << comma << "{\"op\": \"" << row.op << "\", \"way\": \"" << toy::name_of(row.way)
        << "\", \"calls\": " << row.num_calls << ", \"seconds\": " << row.seconds << "}";
    comma = ", ";
  }
  out << "]}";
  text = out.str();
  return text.c_str();
}

void skarv_toy_stats_reset() {
  const std::lock_guard lock(toy::table().mutex);
  for (auto& [key, counter] : toy::table().counters) {
    counter.num_calls = 0;
    counter.nanoseconds = 0;
  }
}
