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

constexpr Way kWays[] = {Way::kOwn, Way::kLibrary, Way::kFallback};

const char* name_of(Way way) {
  switch (way) {
    case Way::kOwn:
      return "own";
    case Way::kLibrary:
      return "library";
    case Way::kFallback:
      return "fallback";
  }
  return "unknown";
}

struct Total {
  int64_t num_calls = 0;
  double seconds = 0;
};

}  // namespace

OpCounter& counter_of(const std::string& op, Way way) {
  const std::lock_guard lock(table().mutex);
  return table().counters[{op, way}];
}

}  // namespace toy

const char* skarv_toy_stats_json() {
  thread_local std::string text;
  const std::vector<toy::Row> rows = toy::rows_by_time();
  std::map<toy::Way, toy::Total> totals;
  double seconds = 0;
  for (const toy::Row& row : rows) {
    totals[row.way].num_calls += row.num_calls;
    totals[row.way].seconds += row.seconds;
    seconds += row.seconds;
  }
  std::ostringstream out;
  out << "{";
  for (const toy::Way way : toy::kWays) {
    out << "\"" << toy::name_of(way) << "\": {\"calls\": " << totals[way].num_calls
        << ", \"seconds\": " << totals[way].seconds << "}, ";
  }
  out << "\"fallback_share\": "
      << (seconds > 0 ? totals[toy::Way::kFallback].seconds / seconds : 0.0) << ", \"ops\": [";
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
