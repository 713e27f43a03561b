// docs/run-file.md is held to the readers of run, cluster and plan: every key that they know has
// its row there, every row is a key that they know, and the run file's defaults are the code's.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "base/file.h"
#include "base/text.h"
#include "spec/examples.h"

namespace skarv {
namespace {

const std::string kUnlikeAnyKey(30, '?');

// What stands between a cell's quotes; empty: it has none.
std::string quoted(const std::string& cell) {
  const size_t begin = cell.find('`'), end = cell.rfind('`');
  return begin == end ? "" : cell.substr(begin + 1, end - begin - 1);
}

// The rows of the table under a heading: key and the cell of its default.
std::map<std::string, std::string> rows_under(const std::string& heading) {
  static const std::string page =
      read_file(std::string(SKARV_SOURCE_DIR) + "/docs/run-file.md").value();
  std::map<std::string, std::string> rows;
  bool is_inside = false;
  for (const std::string& line : split(page, '\n')) {
    if (line.starts_with("#")) is_inside = line == "## " + heading;
    if (!is_inside || !line.starts_with("| `")) continue;
    const std::vector<std::string> cells = split(line, '|');
    rows[quoted(cells.at(1))] = cells.at(3);
  }
  return rows;
}

enum class File { kRun, kCluster, kPlan };

struct Table {
  const char* heading;
  File file;
  const char* pointer;  // to the table in an example
};
constexpr Table kTables[] = {
    {"`[run]`", File::kRun, "/run"},
    {"`[model]`", File::kRun, "/model"},
    {"`[data]`", File::kRun, "/data"},
    {"`[optimizer]`", File::kRun, "/optimizer"},
    {"`[exchange]`", File::kRun, "/exchange"},
    {"`[[site]]`", File::kCluster, "/site/0"},
    {"`[[site.host]]`", File::kCluster, "/site/0/host/0"},
    {"A group of equal devices, `devices = [{...}]`", File::kCluster, "/site/0/host/0/devices/0"},
    {"`[[link]]`", File::kCluster, "/link/0"},
    {"The plan", File::kPlan, ""},
    {"An island", File::kPlan, "/islands/0"},
    {"A pipeline", File::kPlan, "/islands/0/pipelines/0"},
    {"A stage", File::kPlan, "/islands/0/pipelines/0/stages/0"},
    {"An idle device", File::kPlan, "/idle/0"}};

Json example_of_file(File file) {
  if (file == File::kRun) return to_json(example_run());
  if (file == File::kCluster) return to_json(example_cluster());
  Json plan = example_plan_json();
  plan["idle"].push_back({{"device", "south/b1/0"}, {"reason", "slow"}});
  return plan;
}

Status status_of_reading(File file, const Json& json) {
  if (file == File::kRun) return run_from_json(json, "run").status();
  if (file == File::kCluster) return cluster_from_json(json, "cluster").status();
  return plan_from_json(json, "plan").status();
}

// A reader that meets a key unlike any of its own names all of these.
std::vector<std::string> keys_known_in(const Table& table) {
  Json json = example_of_file(table.file);
  json[Json::json_pointer(table.pointer)][kUnlikeAnyKey] = 1;
  const std::string hint = status_of_reading(table.file, json).hint();
  const std::string start = "known here: ";
  if (!hint.starts_with(start)) return {};
  std::vector<std::string> keys = split(hint.substr(start.size()), ',');
  for (std::string& key : keys) key.erase(0, key.find_first_not_of(' '));
  return keys;
}

TEST(RunFileDocument, NamesEveryKeyAndNoOther) {
  for (const Table& table : kTables) {
    SCOPED_TRACE(table.heading);
    std::vector<std::string> described;
    for (const auto& [key, cell] : rows_under(table.heading)) described.push_back(key);
    EXPECT_FALSE(described.empty());
    EXPECT_THAT(described, testing::UnorderedElementsAreArray(keys_known_in(table)));
  }
}

TEST(RunFileDocument, DefaultsAreThoseOfTheCode) {
  const Json defaults = to_json(skarv::Run());
  for (const Table& table : kTables) {
    if (table.file != File::kRun) continue;
    const Json& known = defaults.at(Json::json_pointer(table.pointer));
    int num_compared = 0;
    for (const auto& [key, cell] : rows_under(table.heading)) {
      SCOPED_TRACE(testing::Message() << table.heading << " " << key);
      if (quoted(cell).empty()) continue;  // required, or follows from others
      const Result<Json> stated = parse_json(quoted(cell), "run-file.md");
      ASSERT_TRUE(stated.ok()) << stated.status();
      EXPECT_EQ(*stated, known.at(key));
      ++num_compared;
    }
    EXPECT_GT(num_compared, 0);
  }
}

}  // namespace
}  // namespace skarv
