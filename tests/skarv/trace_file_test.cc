#include "trace_file.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "base/json.h"
#include "base/text.h"

namespace skarv {
namespace {

class TraceFileTest : public testing::Test {
 protected:
  TraceFileTest() { std::filesystem::create_directories(folder_); }
  ~TraceFileTest() override { std::filesystem::remove_all(folder_); }

  void put(const std::string& island, int step, int rank, double start) {
    const auto trace = folder_ / island / "trace";
    std::filesystem::create_directories(trace);
    const Json name = {{"ph", "M"},
                       {"name", "process_name"},
                       {"pid", rank},
                       {"tid", 0},
                       {"args", {{"name", cat(island, "/a/", rank)}}}};
    const Json action = {{"ph", "X"}, {"name", "forward"}, {"pid", rank},
                         {"tid", 0},  {"ts", start},       {"dur", 5.0}};
    std::ofstream(trace / cat("step-", step, "-rank-", rank, ".json"))
        << Json{{"traceEvents", {name, action}}}.dump();
  }

  const std::filesystem::path folder_ =
      std::filesystem::temp_directory_path() /
      cat("skarv-trace-", testing::UnitTest::GetInstance()->current_test_info()->name(), "-",
          ::getpid());
};

TEST_F(TraceFileTest, EveryDeviceIsAProcessOnOneClock) {
  put("north", 2, 0, 1000);
  put("north", 2, 1, 1010);
  put("south", 2, 0, 1025);
  put("south", 9, 0, 9000);  // of a worker that was started again
  const auto path = merge_traces(folder_, {"north", "south"});
  ASSERT_TRUE(path.ok()) << path.status().to_string();
  const auto trace = read_json(*path);
  ASSERT_TRUE(trace.ok()) << trace.status().to_string();
  std::map<int, std::string> names;
  std::map<int, double> starts;
  for (const Json& event : (*trace)["traceEvents"]) {
    const int process = event["pid"];
    if (event["name"] == "process_name") names[process] = event["args"]["name"];
    if (event["ph"] == "X") starts[process] = event["ts"];
  }
  EXPECT_EQ(names,
            (std::map<int, std::string>{{0, "north/a/0"}, {1, "north/a/1"}, {2, "south/a/0"}}));
  EXPECT_EQ(starts, (std::map<int, double>{{0, 0.0}, {1, 10.0}, {2, 25.0}}));
}

TEST_F(TraceFileTest, SaysWhatIsMissingOrDamaged) {
  EXPECT_EQ(merge_traces(folder_, {"north"}).status().code(), Code::kNotFound);
  put("north", 2, 0, 1000);
  std::ofstream(folder_ / "north" / "trace" / "step-2-rank-1.json")
      << R"({"traceEvents": [{"ph": "X"}]})";
  const Status status = merge_traces(folder_, {"north"}).status();
  EXPECT_EQ(status.code(), Code::kDataLoss);
  EXPECT_NE(status.to_string().find("step-2-rank-1.json"), std::string::npos);
}

}  // namespace
}  // namespace skarv
