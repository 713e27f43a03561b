// `skarv simulate` as people call it: figures that agree, a time line, schedules saved and played.
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/json.h"
#include "base/text.h"
#include "plan/outer/goodput.h"
#include "skarv/program_fixture.h"
#include "wan/round/view.h"

namespace skarv {
namespace {

namespace fs = std::filesystem;

class SimulateVerb : public testing::Test {
 protected:
  SimulateVerb() : folder_(fs::temp_directory_path() / cat("skarv-simulate-", ::getpid())) {
    make_good_inputs(folder_);
  }
  ~SimulateVerb() override {
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
  }
  ProgramEnd run(const std::string& words) const {
    std::vector<std::string> command = {SKARV_PROGRAM,  "simulate",     "run.toml",
                                        "--cluster",    "cluster.toml", "--profile",
                                        "profile.json", "--plan",       "plan.json"};
    for (const std::string& word : split(words, ' ')) command.push_back(word);
    return run_program(command, folder_, std::chrono::seconds(20));
  }
  const fs::path folder_;
};

TEST_F(SimulateVerb, FiguresAgreeAndSavedSchedulesPlayTheSame) {
  const ProgramEnd end = run("--json --trace t.json --save-schedules schedules");
  ASSERT_EQ(end.exit_code, 0) << end.text;
  const Json json = parse_json(end.text, "stdout").value();
  ASSERT_EQ(json["islands"].size(), 2u);
  for (const Json& island : json["islands"]) {
    for (const Json& device : island["devices"]) {
      double sum = 0;
      for (const char* part : {"start_up", "compute", "bubble", "exposed", "collective", "done"}) {
        sum += device["seconds"][part].get<double>();
      }
      EXPECT_NEAR(sum, island["step_seconds"].get<double>(), 1e-9);
      EXPECT_TRUE(device["memory"]["fits"].get<bool>());
    }
  }
  EXPECT_GT(read_json(folder_ / "t.json").value()["traceEvents"].size(), 10u);

  const ProgramEnd again =
      run("--json --schedule north=schedules/north.json --schedule south=schedules/south.json");
  ASSERT_EQ(again.exit_code, 0) << again.text;
  EXPECT_EQ(parse_json(again.text, "stdout").value()["islands"], json["islands"]);

  const ProgramEnd slow = run("--slow north/a/0=2");
  ASSERT_EQ(slow.exit_code, 0) << slow.text;
  EXPECT_NE(slow.text.find("south waits for north"), std::string::npos) << slow.text;
}

// North's pipeline cut in two, so that there are messages.
TEST_F(SimulateVerb, GettingGoingIsPricedWhereItIsAskedFor) {
  edit(folder_ / "cluster.toml", "pace = 0.7", "count = 2, pace = 0.7");
  Json plan = read_json(folder_ / "plan.json").value();
  for (Json& island : plan["islands"]) {
    if (island["name"] != "north") continue;
    island["pipelines"][0]["microbatch"] = 1;
    island["pipelines"][0]["stages"] =
        Json::array({{{"layers", {0, 2}}, {"devices", Json::array({"north/a/0"})}},
                     {{"layers", {2, 4}}, {"devices", Json::array({"north/a/1"})}}});
  }
  write_text(folder_ / "plan.json", plan.dump());
  const auto north_of = [&](const std::string& words) {
    const ProgramEnd end = run("--json" + words);
    EXPECT_EQ(end.exit_code, 0) << end.text;
    const auto json = parse_json(end.text, "stdout");
    return json.ok() ? (*json)["islands"][0] : Json();
  };
  const auto seconds = [](const Json& north) { return north["step_seconds"].get<double>(); };
  const Json plain = north_of("");
  ASSERT_TRUE(plain.is_object());
  ASSERT_EQ(plain["name"], "north");

  const Json step = north_of(" --step-start-up 1s");
  EXPECT_NEAR(seconds(step), seconds(plain) + 1, 1e-9);
  EXPECT_NEAR(step["devices"][0]["seconds"]["start_up"].get<double>(), 1, 1e-9);
  // The first microbatch passes two forwards and two backwards, and an update ends the step.
  EXPECT_GT(seconds(north_of(" --action-start-up 1s")), seconds(plain) + 5 - 1e-6);
  // An activation and its gradient.
  EXPECT_GT(seconds(north_of(" --message-start-up 1s")), seconds(plain) + 1);

  for (const char* flag : {"--step-start-up", "--action-start-up", "--message-start-up"}) {
    for (const char* wrong : {"3x", "2h"}) {
      const ProgramEnd end = run(cat(flag, " ", wrong));
      EXPECT_EQ(end.exit_code, 2);
      EXPECT_NE(end.text.find(flag), std::string::npos) << end.text;
    }
  }
}

TEST_F(SimulateVerb, ADayWithFailuresCostsRestartsAndWhatWasNotYetSaved) {
  const auto goodput = [&](const std::string& words) {
    const ProgramEnd end = run("--json --device-mtbf 10h " + words);
    EXPECT_EQ(end.exit_code, 0) << end.text;
    const auto json = parse_json(end.text, "stdout");
    return json.ok() ? (*json)["goodput"]["fraction"].get<double>() : -1;
  };
  const double soon = goodput("--restart 1s"), late = goodput("--restart 30min");
  EXPECT_GT(soon, late + 0.02);
  EXPECT_GT(goodput("--restart 1s --checkpoint-interval 1min"),
            goodput("--restart 1s --checkpoint-interval 2h") + 0.05);
  for (const char* flag :
       {"--restart", "--host-replace", "--site-outage", "--checkpoint-interval"}) {
    const ProgramEnd end = run(cat(flag, " 3x"));
    EXPECT_EQ(end.exit_code, 2);
    EXPECT_NE(end.text.find(flag), std::string::npos) << end.text;
  }
}

}  // namespace
}  // namespace skarv
